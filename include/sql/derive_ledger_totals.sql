-- Purpose: What the statements of the month add up to, for the general ledger.
-- Grain: one row per kind, section and component.
-- Reads: statement_lines
-- Writes: ledger_totals
-- Parameters: none
-- Rerun: the same relation gives the same rows in the same order; the period's file is replaced.
--
-- A line is a debit or a credit as a whole, and so are its components: debits and credits here are those of the
-- statements. A line that names no components stands under 'unallocated'.
WITH parts AS (
    UNPIVOT (
        SELECT
            kind,
            section,
            line_no,
            account_key,
            amount_cents AS line_cents,
            customs_duty_cents,
            excise_duty_cents,
            excise_tax_cents,
            gst_cents,
            anti_dumping_cents,
            countervailing_cents,
            surtax_cents,
            safeguard_cents,
            provincial_tax_cents,
            interest_cents,
            amount_cents
            - (
                customs_duty_cents + excise_duty_cents + excise_tax_cents + gst_cents + anti_dumping_cents
                + countervailing_cents + surtax_cents + safeguard_cents + provincial_tax_cents + interest_cents
            ) AS unallocated_cents
        FROM statement_lines
    )
    ON
        customs_duty_cents,
        excise_duty_cents,
        excise_tax_cents,
        gst_cents,
        anti_dumping_cents,
        countervailing_cents,
        surtax_cents,
        safeguard_cents,
        provincial_tax_cents,
        interest_cents,
        unallocated_cents
    INTO NAME component VALUE cents
)

SELECT
    parts.kind,
    parts.section,
    replace(parts.component, '_cents', '') AS component,
    CAST(coalesce(sum(parts.cents) FILTER (WHERE parts.line_cents > 0), 0) AS BIGINT) AS debit_cents,
    CAST(coalesce(-sum(parts.cents) FILTER (WHERE parts.line_cents < 0), 0) AS BIGINT) AS credit_cents,
    count(*) AS line_count
FROM parts
WHERE parts.cents <> 0
GROUP BY ALL
ORDER BY kind, section, component

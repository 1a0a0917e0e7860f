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
    SELECT
        statement_lines.kind,
        statement_lines.section,
        statement_lines.amount_cents AS line_cents,
        unnest([
            'customs_duty',
            'excise_duty',
            'excise_tax',
            'gst',
            'anti_dumping',
            'countervailing',
            'surtax',
            'safeguard',
            'provincial_tax',
            'interest',
            'unallocated'
        ]) AS component,
        unnest([
            statement_lines.customs_duty_cents,
            statement_lines.excise_duty_cents,
            statement_lines.excise_tax_cents,
            statement_lines.gst_cents,
            statement_lines.anti_dumping_cents,
            statement_lines.countervailing_cents,
            statement_lines.surtax_cents,
            statement_lines.safeguard_cents,
            statement_lines.provincial_tax_cents,
            statement_lines.interest_cents,
            statement_lines.amount_cents - (
                statement_lines.customs_duty_cents
                + statement_lines.excise_duty_cents
                + statement_lines.excise_tax_cents
                + statement_lines.gst_cents
                + statement_lines.anti_dumping_cents
                + statement_lines.countervailing_cents
                + statement_lines.surtax_cents
                + statement_lines.safeguard_cents
                + statement_lines.provincial_tax_cents
                + statement_lines.interest_cents
            )
        ]) AS cents
    FROM statement_lines
)

SELECT
    parts.kind,
    parts.section,
    parts.component,
    CAST(coalesce(sum(parts.cents) FILTER (WHERE parts.line_cents > 0), 0) AS BIGINT) AS debit_cents,
    CAST(coalesce(-sum(parts.cents) FILTER (WHERE parts.line_cents < 0), 0) AS BIGINT) AS credit_cents,
    count(*) AS line_count
FROM parts
WHERE parts.cents <> 0
GROUP BY parts.kind, parts.section, parts.component
ORDER BY parts.kind, parts.section, parts.component

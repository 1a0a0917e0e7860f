-- Purpose: Find statements whose amounts do not agree with themselves, with their lines or with all effects so far.
-- Grain: one row per offending account; an empty result means that every balance holds.
-- Reads: activity, baseline, statement_heads, statement_lines
-- Writes: none
-- Parameters: period
-- Rerun: reads only.
--
-- The closing balance is proved on a second path: `activity` here includes the period itself, where the heads add up
-- the period's own transactions. `reason` is the word under which an account that stands here is parked. Of an account
-- that is parked because it does not add up, or because its statement before is outstanding, nothing is asked.
WITH effects AS (
    SELECT
        account_key,
        balance_cents AS effect_cents,
        under_review_cents
    FROM baseline
    UNION ALL
    SELECT
        account_key,
        effect_cents,
        under_review_effect_cents AS under_review_cents
    FROM activity
    WHERE period <= $period
),

balances AS (
    SELECT
        account_key,
        SUM(effect_cents) AS closing_cents,
        SUM(under_review_cents) AS under_review_cents
    FROM effects
    GROUP BY account_key
),

heads AS (
    SELECT *
    FROM statement_heads
),

lines AS (
    SELECT
        account_key,
        line_no,
        amount_cents,
        running_balance_cents,
        customs_duty_cents + excise_duty_cents + excise_tax_cents + gst_cents + anti_dumping_cents
        + countervailing_cents + surtax_cents + safeguard_cents + provincial_tax_cents
        + interest_cents AS components_cents,
        customs_duty_cents <> 0 OR excise_duty_cents <> 0 OR excise_tax_cents <> 0 OR gst_cents <> 0
        OR anti_dumping_cents <> 0 OR countervailing_cents <> 0 OR surtax_cents <> 0 OR safeguard_cents <> 0
        OR provincial_tax_cents <> 0 OR interest_cents <> 0 AS has_components,
        LAG(running_balance_cents) OVER (
            PARTITION BY account_key
            ORDER BY line_no
        ) AS previous_balance_cents
    FROM statement_lines
),

line_totals AS (
    SELECT
        lines.account_key,
        COUNT(*) AS line_count,
        MAX(lines.line_no) AS last_line_no,
        COUNT(DISTINCT lines.line_no) AS line_numbers,
        SUM(GREATEST(lines.amount_cents, 0)) AS debits_cents,
        SUM(GREATEST(-lines.amount_cents, 0)) AS credits_cents,
        ARG_MAX(lines.running_balance_cents, lines.line_no) AS last_balance_cents,
        COUNT(*) FILTER (
            WHERE
            lines.running_balance_cents
            <> COALESCE(lines.previous_balance_cents, heads.opening_cents) + lines.amount_cents
        ) AS wrong_balances,
        COUNT(*) FILTER (
            WHERE lines.has_components AND lines.components_cents <> lines.amount_cents
        ) AS wrong_components
    FROM lines
    LEFT JOIN heads
        ON lines.account_key = heads.account_key
    GROUP BY lines.account_key
),

joined AS (
    SELECT
        COALESCE(heads.account_key, balances.account_key) AS account_key,
        COALESCE(heads.bn15, BN15_OF(balances.account_key)) AS bn15,
        heads.account_key IS NOT NULL AS has_head,
        heads.parked_reason IS NULL AS is_statement,
        heads.parked_reason IS NULL OR heads.parked_reason = 'account_not_published' AS is_proved,
        heads.opening_cents,
        heads.debits_cents,
        heads.credits_cents,
        heads.closing_cents,
        heads.under_review_cents,
        heads.total_payable_cents,
        heads.line_count,
        heads.ageing_current_cents + heads.ageing_30_cents + heads.ageing_60_cents + heads.ageing_90_cents
        + heads.ageing_over_90_cents AS ageing_cents,
        COALESCE(balances.closing_cents, 0) AS all_effects_cents,
        COALESCE(balances.under_review_cents, 0) AS all_under_review_cents,
        COALESCE(line_totals.line_count, 0) AS printed_lines,
        COALESCE(line_totals.last_line_no, 0) AS last_line_no,
        COALESCE(line_totals.line_numbers, 0) AS line_numbers,
        COALESCE(line_totals.debits_cents, 0) AS printed_debits_cents,
        COALESCE(line_totals.credits_cents, 0) AS printed_credits_cents,
        COALESCE(line_totals.last_balance_cents, heads.opening_cents) AS last_balance_cents,
        COALESCE(line_totals.wrong_balances, 0) AS wrong_balances,
        COALESCE(line_totals.wrong_components, 0) AS wrong_components
    FROM heads
    FULL OUTER JOIN balances
        ON heads.account_key = balances.account_key
    LEFT JOIN line_totals
        ON heads.account_key = line_totals.account_key
),

judged AS (
    SELECT
        account_key,
        bn15,
        CASE
            WHEN NOT has_head AND all_effects_cents = 0 THEN NULL
            WHEN NOT has_head
                THEN 'balance_does_not_add_up: an account with a balance has no statement and is not parked'
            WHEN NOT is_proved THEN NULL
            WHEN debits_cents < 0 OR credits_cents < 0
                THEN 'balance_does_not_add_up: debits or credits are below zero'
            WHEN closing_cents <> opening_cents + debits_cents - credits_cents
                THEN 'balance_does_not_add_up: a closing balance is not opening plus debits minus credits'
            WHEN closing_cents <> all_effects_cents
                THEN 'balance_does_not_add_up: a closing balance is not the baseline plus the effects of all months'
            WHEN under_review_cents <> all_under_review_cents
                THEN 'balance_does_not_add_up: an amount under review is not the sum over all months'
            WHEN total_payable_cents <> GREATEST(closing_cents - under_review_cents, 0)
                THEN 'balance_does_not_add_up: a total payable is not what is left after the items under review'
            WHEN ageing_cents <> closing_cents
                THEN 'open_items_do_not_add_up: the open items do not add up to the closing balance'
            WHEN NOT is_statement THEN NULL
            WHEN line_count <> printed_lines OR line_count <> last_line_no OR line_count <> line_numbers
                THEN 'lines_do_not_add_up: a statement does not have its lines, numbered from 1'
            WHEN debits_cents <> printed_debits_cents OR credits_cents <> printed_credits_cents
                THEN 'lines_do_not_add_up: the lines do not add up to debits and credits'
            WHEN wrong_balances > 0 OR last_balance_cents <> closing_cents
                THEN 'lines_do_not_add_up: a running balance does not lead from opening to closing'
            WHEN wrong_components > 0 THEN 'lines_do_not_add_up: components do not add up to their line'
        END AS fault
    FROM joined
)

SELECT
    SPLIT_PART(fault, ': ', 1) AS reason,
    SPLIT_PART(fault, ': ', 2) AS problem,
    account_key,
    bn15,
    CAST(NULL AS VARCHAR) AS transaction_id
FROM judged
WHERE fault IS NOT NULL
ORDER BY
    problem,
    bn15

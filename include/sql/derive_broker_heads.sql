-- Purpose: What stands above the clients on the statement of a broker: who, when, and the totals over all of them.
-- Grain: one row per broker with a secured line, or with a secured debt open at either end of the period.
-- Reads: broker_clients, firms
-- Writes: broker_heads
-- Parameters: $period_start (date), $period_end (date), $issued_on (date)
-- Rerun: the same relations give the same rows in the same order; the period's file is replaced.
SELECT
    broker_clients.bn9,
    broker_clients.firm_key,
    MIN(broker_clients.period) AS period,
    CAST($period_start AS DATE) AS period_start,
    CAST($period_end AS DATE) AS period_end,
    CAST($issued_on AS DATE) AS issued_on,
    MIN(firms.legal_name) AS legal_name,
    COALESCE(MIN(firms.language), 'both') AS language,
    COUNT(*) AS clients,
    CAST(SUM(broker_clients.opening_cents) AS BIGINT) AS opening_cents,
    CAST(SUM(broker_clients.debits_cents) AS BIGINT) AS debits_cents,
    CAST(SUM(broker_clients.credits_cents) AS BIGINT) AS credits_cents,
    CAST(SUM(broker_clients.moved_cents) AS BIGINT) AS moved_cents,
    CAST(SUM(broker_clients.settled_cents) AS BIGINT) AS settled_cents,
    CAST(SUM(broker_clients.closing_cents) AS BIGINT) AS closing_cents,
    CAST(SUM(broker_clients.under_review_cents) AS BIGINT) AS under_review_cents,
    CAST(SUM(broker_clients.ageing_current_cents) AS BIGINT) AS ageing_current_cents,
    CAST(SUM(broker_clients.ageing_30_cents) AS BIGINT) AS ageing_30_cents,
    CAST(SUM(broker_clients.ageing_60_cents) AS BIGINT) AS ageing_60_cents,
    CAST(SUM(broker_clients.ageing_90_cents) AS BIGINT) AS ageing_90_cents,
    CAST(SUM(broker_clients.ageing_over_90_cents) AS BIGINT) AS ageing_over_90_cents,
    CAST(SUM(broker_clients.line_count) AS BIGINT) AS line_count,
    CAST(SUM(broker_clients.item_count) AS BIGINT) AS item_count
FROM broker_clients
LEFT JOIN firms
    ON broker_clients.firm_key = firms.firm_key
GROUP BY
    broker_clients.bn9,
    broker_clients.firm_key
ORDER BY broker_clients.firm_key

-- Purpose: What stands above the index of a provider of services: who, when, and how many statements it may open.
-- Grain: one row per provider with at least one account on its index.
-- Reads: firms, provider_clients
-- Writes: provider_heads
-- Parameters: $period_start (date), $period_end (date)
-- Rerun: the same relations give the same rows in the same order; the period's file is replaced.
SELECT
    provider_clients.bn9,
    provider_clients.firm_key,
    MIN(provider_clients.period) AS period,
    CAST($period_start AS DATE) AS period_start,
    CAST($period_end AS DATE) AS period_end,
    MIN(provider_clients.issued_on) AS issued_on,
    MIN(firms.legal_name) AS legal_name,
    COALESCE(MIN(firms.language), 'both') AS language,
    COUNT(*) AS clients
FROM provider_clients
LEFT JOIN firms
    ON provider_clients.firm_key = firms.firm_key
GROUP BY
    provider_clients.bn9,
    provider_clients.firm_key
ORDER BY provider_clients.firm_key

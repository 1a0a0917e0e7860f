-- Purpose: The accounts with a statement this month that delegated to a provider of services, provider by provider.
-- Grain: one row per provider and account, however many delegations there are between them.
-- Reads: delegations, firm_numbers, statement_heads
-- Writes: provider_clients
-- Parameters: none
-- Rerun: the same relations give the same rows in the same order; the period's file is replaced.
--
-- A delegation counts if it is valid on the day of issue: its first day counts, the day on which it ends does not. No
-- amount is told: the provider opens the statement where its delegation lets it.
SELECT DISTINCT
    firm_numbers.bn9,
    firm_numbers.firm_key,
    statement_heads.bn15,
    statement_heads.account_key,
    statement_heads.period,
    statement_heads.legal_name,
    statement_heads.version,
    statement_heads.issued_on,
    statement_heads.due_on,
    statement_heads.language
FROM delegations
INNER JOIN firm_numbers
    ON delegations.provider_bn9 = firm_numbers.bn9
INNER JOIN statement_heads
    ON delegations.account_key = statement_heads.account_key
WHERE
    statement_heads.parked_reason IS NULL
    AND delegations.valid_from <= statement_heads.issued_on
    AND (delegations.valid_to IS NULL OR delegations.valid_to > statement_heads.issued_on)
ORDER BY
    firm_numbers.firm_key,
    statement_heads.account_key

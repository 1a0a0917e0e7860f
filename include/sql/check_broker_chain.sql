-- Purpose: Find clients of brokers that open with another secured amount than they closed the month before with.
-- Grain: one row per offending broker and client; an empty result means that the chain holds.
-- Reads: broker_accounts, broker_clients, previous_broker_accounts, previous_broker_clients
-- Writes: none
-- Parameters: none
-- Rerun: reads only.
--
-- An account that is parked in either month, or has no published row there, is on no broker's statement of that month:
-- of these nothing is asked. Any other that was on none closed at zero, and so must open at zero.
WITH both_months AS (
    SELECT
        COALESCE(broker_clients.account_key, previous_broker_clients.account_key) AS account_key,
        COALESCE(broker_clients.bn15, previous_broker_clients.bn15) AS bn15,
        COALESCE(broker_clients.opening_cents, 0) AS opening_cents,
        COALESCE(previous_broker_clients.closing_cents, 0) AS closing_cents
    FROM broker_clients
    FULL OUTER JOIN previous_broker_clients
        ON
            broker_clients.firm_key = previous_broker_clients.firm_key
            AND broker_clients.account_key = previous_broker_clients.account_key
)

SELECT
    'what a broker secured does not open with what it closed the month before with' AS problem,
    both_months.bn15,
    CAST(NULL AS VARCHAR) AS transaction_id
FROM both_months
SEMI JOIN broker_accounts
    ON both_months.account_key = broker_accounts.account_key
SEMI JOIN previous_broker_accounts
    ON both_months.account_key = previous_broker_accounts.account_key
WHERE both_months.opening_cents <> both_months.closing_cents
ORDER BY both_months.bn15

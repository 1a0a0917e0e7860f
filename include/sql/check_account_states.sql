-- Purpose: Accounts whose effects do not add up to the states of their items: there must be none.
-- Grain: one row per account at fault.
-- Reads: published_items, effects
-- Writes: nothing, returns offenders
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
--
-- Effects were added month by month. Here every item's last state is read from the rows themselves, a second path to
-- the same balance.
WITH published AS (
    SELECT published_items.*
    FROM published_items
    WHERE published_items.arrival NOT IN ('moved', 'restored')
),

keys AS (
    SELECT published.*
    FROM published
    QUALIFY ROW_NUMBER() OVER (
        PARTITION BY published.item_id, published.revision ORDER BY published.version DESC
    ) = 1
),

states AS (
    SELECT keys.*
    FROM keys
    WHERE keys.arrival <> 'vanished'
    QUALIFY ROW_NUMBER() OVER (PARTITION BY keys.item_id ORDER BY keys.revision DESC) = 1
),

by_state AS (
    SELECT
        states.account_key,
        CAST(SUM(CASE WHEN states.is_counted THEN states.amount_cents ELSE 0 END) AS BIGINT) AS balance_cents,
        CAST(
            SUM(CASE WHEN states.is_counted AND states.status = 'under_review' THEN states.amount_cents ELSE 0 END)
            AS BIGINT
        ) AS under_review_cents
    FROM states
    GROUP BY states.account_key
),

by_effect AS (
    SELECT
        effects.account_key,
        CAST(SUM(effects.effect_cents) AS BIGINT) AS balance_cents,
        CAST(SUM(effects.under_review_effect_cents) AS BIGINT) AS under_review_cents
    FROM effects
    GROUP BY effects.account_key
)

SELECT COALESCE(by_state.account_key, by_effect.account_key) AS account_key
FROM by_state
FULL OUTER JOIN by_effect ON by_state.account_key = by_effect.account_key
WHERE
    COALESCE(by_state.balance_cents, 0) <> COALESCE(by_effect.balance_cents, 0)
    OR COALESCE(by_state.under_review_cents, 0) <> COALESCE(by_effect.under_review_cents, 0)
ORDER BY COALESCE(by_state.account_key, by_effect.account_key)

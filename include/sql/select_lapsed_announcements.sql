-- Purpose: Find the announced closures that are proposed no longer.
-- Grain: one row per account with an open announcement that has lapsed.
-- Reads: announced, account_decisions
-- Writes: none
-- Parameters: none
-- Rerun: reads only; the same rows in the same order.
--
-- An account without a decision is not open any more. One whose evidence is incomplete now is told again later: a
-- client may be told twice, and is never closed on a notice that lies years back.
SELECT DISTINCT announced.bn15
FROM announced
LEFT JOIN account_decisions
    ON announced.bn15 = account_decisions.bn15
WHERE account_decisions.proposed_action IS DISTINCT FROM 'close'
ORDER BY announced.bn15

-- Purpose: Count the clients that had registered on the portal by the end of each month, as the month published them.
-- Grain: one row per month.
-- Reads: accounts, months
-- Writes: nothing, returns counts for the newsletter
-- Parameters: none
-- Rerun: the same rows in the same order.
SELECT
    months.period,
    COUNT(accounts.bn15) AS clients
FROM months
LEFT JOIN accounts
    ON
        months.period = accounts.period
        AND months.as_of >= accounts.portal_registered_on
GROUP BY months.period
ORDER BY months.period

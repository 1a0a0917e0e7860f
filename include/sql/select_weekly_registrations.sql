-- Purpose: Count the clients that registered on the portal in each week, as the month in which it ends published them.
-- Grain: one row per week.
-- Reads: accounts, weeks
-- Writes: nothing, returns counts for the newsletter
-- Parameters: none
-- Rerun: the same rows in the same order.
SELECT
    weeks.starts_on,
    COUNT(accounts.bn15) AS clients
FROM weeks
LEFT JOIN accounts
    ON
        weeks.period = accounts.period
        AND weeks.starts_on <= accounts.portal_registered_on
        AND weeks.ends_before > accounts.portal_registered_on
GROUP BY weeks.starts_on
ORDER BY weeks.starts_on

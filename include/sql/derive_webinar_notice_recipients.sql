-- Purpose: List the people who are on the distribution list on the day of issue.
-- Grain: one row per recipient.
-- Reads: distribution_list
-- Writes: none
-- Parameters: none
-- Rerun: the same rows in the same order.
SELECT
    'webinar' AS kind,
    1 AS version,
    address,
    language,
    subscribed_on
FROM distribution_list
WHERE state = 'subscribed'
ORDER BY address

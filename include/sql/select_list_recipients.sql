-- Purpose: List the people who are on the distribution list on the day of issue and have not left it since.
-- Grain: one row per recipient.
-- Reads: distribution_list, list_now
-- Writes: nothing, is rendered as messages
-- Parameters: kind
-- Rerun: the same rows in the same order.
--
-- Both are derive_distribution_list: as of the day of issue, and with all that is known. A withdrawal counts at once,
-- also in a month that is told late; language and day are those of the day of issue.
SELECT
    $kind AS kind,
    1 AS version,
    distribution_list.address,
    distribution_list.language,
    distribution_list.subscribed_on
FROM distribution_list
INNER JOIN list_now
    ON distribution_list.recipient_key IS NOT DISTINCT FROM list_now.recipient_key
WHERE distribution_list.state = 'subscribed' AND list_now.state = 'subscribed'
ORDER BY distribution_list.address

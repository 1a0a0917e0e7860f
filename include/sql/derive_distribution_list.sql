-- Purpose: Say of everybody who was ever on the distribution list whether the person is on it on the day of issue.
-- Grain: one row per recipient, whatever the case of the address and however often it was written down.
-- Reads: quarantine, subscriber_entries, subscription_events, suppressions
-- Writes: nothing, is read by select_list_recipients and counted for people
-- Parameters: issued_on
-- Rerun: the same rows in the same order.
--
-- The last word counts, whether the source has it or an event: who withdrew on or after the day of the last
-- subscription is not on the list. Both are read as of the day of issue, suppressions as they stand now: who asked in
-- the meantime to be left alone is left alone, also by a month that is run late.
WITH refused AS (
    -- By what the row says and not by its place: the list is read anew, and its rows have no key.
    SELECT row_hash
    FROM quarantine
    WHERE dataset = 'subscribers'
),

entries AS (
    SELECT
        recipient_key,
        address,
        CASE
            WHEN language IN ('en', 'fr') THEN language
            ELSE 'both'
        END AS language,
        subscribed_on,
        CASE
            WHEN unsubscribed_on <= $issued_on THEN unsubscribed_on
        END AS unsubscribed_on
    FROM subscriber_entries
    ANTI JOIN refused
        ON subscriber_entries.row_hash = refused.row_hash
    WHERE subscribed_on <= $issued_on
),

subscriptions AS (
    SELECT
        recipient_key,
        address,
        language,
        subscribed_on
    FROM entries
    UNION ALL
    SELECT
        recipient_key,
        address,
        language,
        recorded_on AS subscribed_on
    FROM subscription_events
    WHERE event = 'subscribed' AND recorded_on <= $issued_on
),

withdrawals AS (
    SELECT
        recipient_key,
        unsubscribed_on
    FROM entries
    UNION ALL
    SELECT
        recipient_key,
        recorded_on AS unsubscribed_on
    FROM subscription_events
    WHERE event = 'unsubscribed' AND recorded_on <= $issued_on
    UNION ALL
    SELECT
        recipient_key,
        since AS unsubscribed_on
    FROM suppressions
    WHERE scope = 'list'
),

people AS (
    SELECT
        recipient_key,
        MIN(address) AS address,
        MAX(subscribed_on) AS subscribed_on
    FROM subscriptions
    GROUP BY recipient_key
),

left_on AS (
    SELECT
        recipient_key,
        MAX(unsubscribed_on) AS unsubscribed_on
    FROM withdrawals
    GROUP BY recipient_key
),

not_written_to AS (
    SELECT recipient_key
    FROM suppressions
    WHERE scope = 'all'
),

languages AS (
    -- Of two entries of one day in two languages, neither is the later wish: the person gets both.
    SELECT
        subscriptions.recipient_key,
        CASE
            WHEN COUNT(DISTINCT subscriptions.language) = 1 THEN MIN(subscriptions.language)
            ELSE 'both'
        END AS language
    FROM subscriptions
    INNER JOIN people
        ON
            subscriptions.recipient_key IS NOT DISTINCT FROM people.recipient_key
            AND subscriptions.subscribed_on = people.subscribed_on
    GROUP BY subscriptions.recipient_key
)

SELECT
    people.recipient_key,
    people.address,
    languages.language,
    people.subscribed_on,
    CASE
        WHEN left_on.unsubscribed_on >= people.subscribed_on THEN 'unsubscribed'
        WHEN not_written_to.recipient_key IS NOT NULL THEN 'suppressed'
        ELSE 'subscribed'
    END AS state
FROM people
INNER JOIN languages
    ON people.recipient_key IS NOT DISTINCT FROM languages.recipient_key
LEFT JOIN left_on
    ON people.recipient_key IS NOT DISTINCT FROM left_on.recipient_key
LEFT JOIN not_written_to
    ON people.recipient_key = not_written_to.recipient_key
ORDER BY people.address, people.recipient_key

-- Purpose: List the people who are on the distribution list on the day of issue.
-- Grain: one row per address, whatever its case and however often it was written down.
-- Reads: quarantine, subscriber_entries
-- Writes: none
-- Parameters: issued_on
-- Rerun: the same rows in the same order.
--
-- The last word counts: who withdrew on or after the day of the last subscription is not on the list.
WITH refused AS (
    -- By what the row says and not by its place: the list is read anew, and its rows have no key.
    SELECT row_hash
    FROM quarantine
    WHERE dataset = 'subscribers'
),

entries AS (
    SELECT
        LOWER(TRIM(email)) AS address,
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

people AS (
    SELECT
        address,
        MAX(subscribed_on) AS subscribed_on,
        MAX(unsubscribed_on) AS unsubscribed_on
    FROM entries
    GROUP BY address
),

languages AS (
    -- Of two entries of one day in two languages, neither is the later wish: the person gets both.
    SELECT
        entries.address,
        CASE
            WHEN COUNT(DISTINCT entries.language) = 1 THEN MIN(entries.language)
            ELSE 'both'
        END AS language
    FROM entries
    INNER JOIN people
        ON
            entries.address IS NOT DISTINCT FROM people.address
            AND entries.subscribed_on = people.subscribed_on
    GROUP BY entries.address
)

SELECT
    'webinar' AS kind,
    1 AS version,
    people.address,
    languages.language,
    people.subscribed_on
FROM people
INNER JOIN languages
    ON people.address IS NOT DISTINCT FROM languages.address
WHERE
    people.unsubscribed_on IS NULL
    OR people.unsubscribed_on < people.subscribed_on
ORDER BY people.address

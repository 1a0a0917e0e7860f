-- Purpose: Raw rows of the distribution list read as their types.
-- Grain: one row per source row.
-- Reads: raw_subscribers
-- Writes: nothing, is staged for the gate
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
SELECT
    raw_subscribers.row_no,
    raw_subscribers.email,
    raw_subscribers.language,
    iso_day(raw_subscribers.subscribed_on) AS subscribed_on,
    iso_day(raw_subscribers.unsubscribed_on) AS unsubscribed_on,
    CASE
        WHEN raw_subscribers.subscribed_on IS NOT NULL AND iso_day(raw_subscribers.subscribed_on) IS NULL
            THEN 'subscribed_on'
        WHEN raw_subscribers.unsubscribed_on IS NOT NULL AND iso_day(raw_subscribers.unsubscribed_on) IS NULL
            THEN 'unsubscribed_on'
    END AS unreadable,
    md5(CAST(to_json(
        list_value(
            raw_subscribers.email,
            raw_subscribers.language,
            raw_subscribers.subscribed_on,
            raw_subscribers.unsubscribed_on
        )
    ) AS VARCHAR)) AS row_hash
FROM raw_subscribers
ORDER BY raw_subscribers.email, raw_subscribers.subscribed_on, raw_subscribers.language, raw_subscribers.row_no

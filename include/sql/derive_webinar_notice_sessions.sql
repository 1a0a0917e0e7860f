-- Purpose: List the webinars of one calendar month in Eastern time, as their latest revision has them.
-- Grain: one row per webinar that is in the month, or whose start cannot be read.
-- Reads: webinars
-- Writes: none
-- Parameters: month_ends_at, month_starts_at
-- Rerun: the same rows in the same order.
--
-- The month's bounds come as instants (its first midnight in Toronto and that of the next month): a session on the last
-- evening is already the next day in UTC, and still belongs to this month.
WITH revisions AS (
    SELECT
        webinar_id,
        title_en,
        title_fr,
        language,
        -- An hour without an offset is an hour somewhere: it is not guessed.
        CASE
            WHEN REGEXP_FULL_MATCH(starts_at, '[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]+(Z|[+-][0-9]{2}:?[0-9]{2})')
                THEN TRY_CAST(starts_at AS TIMESTAMPTZ)
        END AS starts_at,
        CASE
            WHEN duration_minutes BETWEEN 1 AND 1440 THEN duration_minutes
        END AS duration_minutes,
        join_url,
        status,
        -- Copies of one revision: a cancelled copy wins, for nobody should wait before an empty screen.
        ROW_NUMBER() OVER (
            PARTITION BY webinar_id
            ORDER BY revision DESC NULLS LAST, status = 'cancelled' DESC, starts_at, duration_minutes, join_url
        ) AS nth_latest
    FROM webinars
),

sessions AS (
    SELECT
        webinar_id,
        title_en,
        title_fr,
        language,
        starts_at,
        duration_minutes,
        join_url,
        CASE
            WHEN status = 'cancelled' THEN 'cancelled'
            WHEN starts_at IS NULL THEN 'unreadable'
            WHEN status = 'scheduled' AND language IN ('en', 'fr', 'both') THEN 'offered'
            ELSE 'unreadable'
        END AS state
    FROM revisions
    WHERE nth_latest = 1
)

SELECT
    webinar_id,
    title_en,
    title_fr,
    language,
    starts_at,
    duration_minutes,
    join_url,
    state
FROM sessions
WHERE
    (starts_at >= $month_starts_at AND starts_at < $month_ends_at)
    OR (starts_at IS NULL AND state = 'unreadable')
ORDER BY
    starts_at,
    webinar_id

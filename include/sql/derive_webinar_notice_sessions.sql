-- Purpose: Say of every webinar how its latest revision has it, and whether it is in a given calendar month.
-- Grain: one row per webinar.
-- Reads: webinars
-- Writes: none
-- Parameters: concerned_from, month_ends_at, month_starts_at
-- Rerun: the same rows in the same order.
--
-- The month's bounds come as instants (its first midnight in Toronto and that of the next month): a session on the last
-- evening is already the next day in UTC, and still belongs to this month. A change concerns those who were told of the
-- session while one of its revisions puts it at concerned_from or later: what is over by then is nobody's news.
WITH written AS (
    SELECT
        webinar_id,
        title_en,
        title_fr,
        language,
        duration_minutes,
        join_url,
        status,
        revision,
        -- An hour without an offset is an hour somewhere: it is not guessed. The gate asks for the same form.
        CASE
            WHEN
                REGEXP_FULL_MATCH(
                    starts_at,
                    '[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,6})?)?'
                    || '(Z|[+-]([01][0-9]|2[0-3]):?[0-5][0-9])'
                )
                THEN TRY_CAST(starts_at AS TIMESTAMPTZ)
        END AS read_as
    FROM webinars
),

revisions AS (
    SELECT
        webinar_id,
        title_en,
        title_fr,
        language,
        -- Beyond these years there is no session, and at the ends of time no clock that shows one.
        CASE
            WHEN
                read_as >= CAST('1980-01-01 00:00:00+00' AS TIMESTAMPTZ)
                AND read_as < CAST('2200-01-01 00:00:00+00' AS TIMESTAMPTZ)
                THEN read_as
        END AS starts_at,
        CASE
            WHEN duration_minutes BETWEEN 1 AND 1440 THEN duration_minutes
        END AS duration_minutes,
        join_url,
        status,
        -- What a calendar takes for a SEQUENCE.
        CASE
            WHEN revision BETWEEN 0 AND 2147483647 THEN revision
        END AS revision,
        -- Copies of one revision: a cancelled copy wins, for nobody should wait before an empty screen.
        ROW_NUMBER() OVER (
            PARTITION BY webinar_id
            ORDER BY revision DESC NULLS LAST, status = 'cancelled' DESC, read_as, duration_minutes, join_url
        ) AS nth_latest
    FROM written
),

planned AS (
    SELECT
        webinar_id,
        MAX(starts_at) AS latest_start
    FROM revisions
    GROUP BY webinar_id
),

sessions AS (
    SELECT
        revisions.webinar_id,
        revisions.revision,
        revisions.title_en,
        revisions.title_fr,
        revisions.language,
        revisions.duration_minutes,
        revisions.join_url,
        planned.latest_start,
        -- What is called off needs no hour of its own: it is called off where it stood.
        CASE
            WHEN revisions.status = 'cancelled' THEN COALESCE(revisions.starts_at, planned.latest_start)
            ELSE revisions.starts_at
        END AS starts_at,
        CASE
            WHEN revisions.revision IS NULL THEN 'unreadable'
            WHEN revisions.status = 'cancelled' THEN 'cancelled'
            WHEN revisions.starts_at IS NULL THEN 'unreadable'
            WHEN revisions.status = 'scheduled' AND revisions.language IN ('en', 'fr', 'both') THEN 'offered'
            ELSE 'unreadable'
        END AS state
    FROM revisions
    INNER JOIN planned
        ON revisions.webinar_id = planned.webinar_id
    WHERE revisions.nth_latest = 1
)

SELECT
    webinar_id,
    revision,
    title_en,
    title_fr,
    language,
    starts_at,
    duration_minutes,
    join_url,
    state,
    COALESCE(starts_at >= $month_starts_at AND starts_at < $month_ends_at, FALSE) AS is_of_month,
    COALESCE(GREATEST(starts_at, latest_start) >= $concerned_from, FALSE) AS is_concerning
FROM sessions
ORDER BY
    starts_at,
    webinar_id

-- Purpose: Raw webinars read as their types.
-- Grain: one row per source row.
-- Reads: raw_webinars
-- Writes: nothing, is staged for the gate
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
SELECT
    raw_webinars.row_no,
    raw_webinars.webinar_id,
    CASE WHEN raw_webinars.revision IS NULL THEN 1 ELSE whole_number(raw_webinars.revision) END AS revision,
    raw_webinars.title_en,
    raw_webinars.title_fr,
    raw_webinars.language,
    raw_webinars.starts_at,
    whole_number(raw_webinars.duration_minutes) AS duration_minutes,
    raw_webinars.join_url,
    raw_webinars.status,
    CASE
        WHEN raw_webinars.revision IS NOT NULL AND whole_number(raw_webinars.revision) IS NULL THEN 'revision'
        WHEN raw_webinars.duration_minutes IS NOT NULL AND whole_number(raw_webinars.duration_minutes) IS NULL
            THEN 'duration_minutes'
    END AS unreadable
FROM raw_webinars
ORDER BY raw_webinars.webinar_id, revision, raw_webinars.row_no

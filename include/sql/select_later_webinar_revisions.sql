-- Purpose: Find what the source says of webinars that is later than what the month's extract says.
-- Grain: one row per source row.
-- Reads: read_webinars, webinars
-- Writes: none
-- Parameters: none
-- Rerun: the same rows in the same order.
--
-- A revision that the extract has stays as it was extracted: a calendar takes a change only with a higher number.
WITH extracted AS (
    SELECT
        webinar_id,
        MAX(revision) AS revision
    FROM webinars
    GROUP BY webinar_id
)

SELECT
    read_webinars.row_no,
    read_webinars.webinar_id,
    read_webinars.revision,
    read_webinars.title_en,
    read_webinars.title_fr,
    read_webinars.language,
    read_webinars.starts_at,
    read_webinars.duration_minutes,
    read_webinars.join_url,
    read_webinars.status,
    read_webinars.unreadable
FROM read_webinars
LEFT JOIN extracted
    ON read_webinars.webinar_id = extracted.webinar_id
WHERE
    extracted.webinar_id IS NULL
    OR read_webinars.revision > extracted.revision
ORDER BY read_webinars.row_no

-- Purpose: Find the accounts of a plan that are no longer what the plan looked at, and say what moved.
-- Grain: one row per planned change whose account moved.
-- Reads: planned, versions, person_holds, source_rows, known_rows, announcements, handed_over
-- Writes: nothing, returns the accounts to leave alone
-- Parameters: $as_of (date), $effective_on (date)
-- Rerun: reads only; the same rows in the same order.
--
-- planned: the changes of the plan. versions: the register's versions of these accounts as text, in whatever spelling.
-- source_rows, known_rows: count, sum and last days of the ledger rows of an account by feed, kind and status; the
-- first as the source has them now, is_later where they are posted after the plan's last day or on no readable day,
-- the second as the lake knew them when the plan was made. announcements: the closures that are announced and still to
-- come. handed_over: the accounts of a change file on which the register has not answered.
WITH versions_of AS (
    SELECT
        planned.bn15,
        -- Which version the plan looked at is compared as text, because it is found by that text again when it ends.
        COALESCE(
            versions.bn15 = planned.bn15
            AND versions.valid_from = CAST(planned.valid_from AS VARCHAR)
            AND versions.valid_to IS NULL
            AND versions.status = 'open'
            AND versions.program_type = planned.program_type
            -- What the dormancy clock starts from.
            AND (ISO_DAY(versions.opened_on) IS NOT DISTINCT FROM planned.opened_on)
            AND (ISO_DAY(versions.reinstated_on) IS NOT DISTINCT FROM planned.reinstated_on), FALSE
        ) AS is_planned,
        COALESCE(
            versions.valid_from < CAST(planned.valid_from AS VARCHAR)
            AND versions.valid_to <= CAST($effective_on AS VARCHAR), FALSE
        ) AS is_past,
        versions.hold_reason IS NOT NULL AND COALESCE(ISO_DAY(versions.hold_until) >= $as_of, TRUE) AS is_held,
        TO_JSON(versions) AS content
    FROM planned
    INNER JOIN versions
        ON planned.bn15 = UPPER(REGEXP_REPLACE(versions.bn15, '[ -]', '', 'g'))
),

judged AS (
    SELECT
        bn15,
        -- Copies of the version that differ in anything are not one version.
        COUNT(DISTINCT content) FILTER (WHERE is_planned) = 1
        AND COUNT(*) FILTER (WHERE NOT is_planned AND NOT is_past) = 0 AS is_as_planned,
        COALESCE(BOOL_OR(is_held) FILTER (WHERE is_planned), FALSE) AS is_held
    FROM versions_of
    GROUP BY bn15
),

counted AS (
    SELECT
        bn15,
        feed,
        kind,
        status,
        row_count,
        sum_cents,
        last_posted,
        last_activity
    FROM source_rows
    WHERE NOT is_later
),

-- A count, a sum or a last day that differs, in whatever direction: a row was added, changed or taken away.
recorded AS (
    SELECT bn15
    FROM source_rows
    WHERE is_later
    UNION
    SELECT COALESCE(counted.bn15, known_rows.bn15) AS bn15
    FROM counted
    FULL OUTER JOIN known_rows
        ON
            counted.bn15 = known_rows.bn15
            AND counted.feed = known_rows.feed
            AND counted.kind = known_rows.kind
            AND counted.status = known_rows.status
    WHERE
        (counted.row_count IS DISTINCT FROM known_rows.row_count)
        OR (counted.sum_cents IS DISTINCT FROM known_rows.sum_cents)
        OR (counted.last_posted IS DISTINCT FROM known_rows.last_posted)
        OR (counted.last_activity IS DISTINCT FROM known_rows.last_activity)
),

-- A closure that was announced and has waited closes only while its announcement stands.
withdrawn AS (
    SELECT planned.bn15
    FROM planned
    ANTI JOIN announcements
        ON
            planned.bn15 = announcements.bn15
            AND planned.announced_in = announcements.announced_in
    WHERE planned.action = 'close' AND planned.announced_in IS NOT NULL
)

SELECT
    planned.bn15,
    CASE
        WHEN NOT COALESCE(judged.is_as_planned, FALSE) THEN 'another_version'
        WHEN judged.is_held OR person_holds.bn15 IS NOT NULL THEN 'on_hold'
        WHEN recorded.bn15 IS NOT NULL THEN 'recorded_since'
        WHEN withdrawn.bn15 IS NOT NULL THEN 'announcement_withdrawn'
        ELSE 'handed_over_before'
    END AS moved
FROM planned
LEFT JOIN judged
    ON planned.bn15 = judged.bn15
LEFT JOIN person_holds
    ON planned.bn15 = person_holds.bn15
LEFT JOIN recorded
    ON planned.bn15 = recorded.bn15
LEFT JOIN withdrawn
    ON planned.bn15 = withdrawn.bn15
LEFT JOIN handed_over
    ON planned.bn15 = handed_over.bn15
WHERE
    NOT COALESCE(judged.is_as_planned, FALSE)
    OR judged.is_held
    OR person_holds.bn15 IS NOT NULL
    OR recorded.bn15 IS NOT NULL
    OR withdrawn.bn15 IS NOT NULL
    OR handed_over.bn15 IS NOT NULL
ORDER BY planned.bn15

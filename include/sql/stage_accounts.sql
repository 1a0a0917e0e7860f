-- Purpose: Account versions valid on the period's last day, read as their types, with what their neighbours tell.
-- Grain: one row per source row that is valid on the day, or that has no readable key.
-- Reads: raw_accounts
-- Writes: nothing, is staged for the gate
-- Parameters: $as_of (date)
-- Rerun: same inputs give the same rows in the same order.
WITH typed AS (
    SELECT
        raw.row_no,
        upper(regexp_replace(raw.bn15, '[ -]', '', 'g')) AS bn15,
        iso_day(raw.valid_from) AS valid_from,
        iso_day(raw.valid_to) AS valid_to,
        raw.legal_name,
        raw.operating_name,
        raw.program_type,
        raw.status,
        iso_day(raw.opened_on) AS opened_on,
        iso_day(raw.closed_on) AS closed_on,
        iso_day(raw.reinstated_on) AS reinstated_on,
        raw.language,
        raw.email,
        raw.province,
        raw.hold_reason,
        iso_day(raw.hold_until) AS hold_until,
        iso_day(raw.portal_registered_on) AS portal_registered_on,
        iso_day(raw.mfa_registered_on) AS mfa_registered_on,
        CASE
            WHEN raw.valid_from IS NOT NULL AND iso_day(raw.valid_from) IS NULL THEN 'valid_from'
            WHEN raw.valid_to IS NOT NULL AND iso_day(raw.valid_to) IS NULL THEN 'valid_to'
            WHEN raw.opened_on IS NOT NULL AND iso_day(raw.opened_on) IS NULL THEN 'opened_on'
            WHEN raw.closed_on IS NOT NULL AND iso_day(raw.closed_on) IS NULL THEN 'closed_on'
            WHEN raw.reinstated_on IS NOT NULL AND iso_day(raw.reinstated_on) IS NULL THEN 'reinstated_on'
            WHEN raw.hold_until IS NOT NULL AND iso_day(raw.hold_until) IS NULL THEN 'hold_until'
        END AS unreadable,
        md5(CAST(to_json(
            list_value(
                raw.bn15,
                raw.valid_from,
                raw.valid_to,
                raw.legal_name,
                raw.operating_name,
                raw.program_type,
                raw.status,
                raw.opened_on,
                raw.closed_on,
                raw.reinstated_on,
                raw.language,
                raw.email,
                raw.province,
                raw.hold_reason,
                raw.hold_until,
                raw.portal_registered_on,
                raw.mfa_registered_on
            )
        ) AS VARCHAR)) AS row_hash
    FROM raw_accounts AS raw
),

known AS (
    -- A version of the future is not known yet; an unreadable end is read as none, so that the row is looked at.
    SELECT
        typed.*,
        coalesce(typed.valid_to, DATE '9999-12-31') AS ends_on
    FROM typed
    WHERE typed.valid_from <= $as_of OR typed.valid_from IS NULL
),

keys AS (
    SELECT
        known.*,
        count(*) OVER same_key AS key_copies,
        (min(known.row_hash) OVER same_key) <> (max(known.row_hash) OVER same_key) AS copies_differ,
        row_number() OVER (
            PARTITION BY known.bn15, known.valid_from ORDER BY known.row_hash, known.row_no
        ) AS copy_no
    FROM known
    WINDOW same_key AS (PARTITION BY known.bn15, known.valid_from)
),

-- One row a key and only versions that hold for at least a day, so that a copy is not taken for an overlap.
spans AS (
    SELECT
        keys.bn15,
        keys.valid_from,
        max(keys.ends_on) AS ends_on
    FROM keys
    WHERE keys.valid_from IS NOT NULL AND keys.ends_on > keys.valid_from
    GROUP BY keys.bn15, keys.valid_from
),

neighbours AS (
    SELECT
        spans.bn15,
        spans.valid_from,
        coalesce(
            max(spans.ends_on) OVER (
                PARTITION BY spans.bn15
                ORDER BY spans.valid_from
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) > spans.valid_from,
            FALSE
        )
        OR coalesce(lead(spans.valid_from) OVER (
            PARTITION BY spans.bn15
            ORDER BY spans.valid_from
        ) < spans.ends_on, FALSE) AS has_overlap
    FROM spans
)

SELECT
    keys.row_no,
    keys.bn15,
    keys.valid_from,
    keys.valid_to,
    keys.legal_name,
    keys.operating_name,
    keys.program_type,
    keys.status,
    keys.opened_on,
    keys.closed_on,
    keys.reinstated_on,
    keys.language,
    keys.email,
    keys.province,
    keys.hold_reason,
    keys.hold_until,
    keys.portal_registered_on,
    keys.mfa_registered_on,
    keys.key_copies,
    keys.copies_differ,
    NOT keys.copies_differ AND keys.copy_no > 1 AS is_surplus_copy,
    coalesce(neighbours.has_overlap, FALSE) AS has_overlap,
    keys.unreadable,
    coalesce(keys.bn15, '~' || keys.row_hash) || '|' || coalesce(CAST(keys.valid_from AS VARCHAR), '?')
    || CASE WHEN keys.copy_no > 1 THEN '~' || CAST(keys.copy_no AS VARCHAR) ELSE '' END AS row_key,
    keys.row_hash,
    account_key(keys.bn15) AS account_key
FROM keys
LEFT JOIN neighbours ON keys.bn15 = neighbours.bn15 AND keys.valid_from = neighbours.valid_from
WHERE
    keys.valid_from IS NULL
    OR keys.bn15 IS NULL
    OR keys.ends_on > $as_of
ORDER BY keys.row_no

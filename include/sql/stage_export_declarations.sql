-- Purpose: Raw export declarations read as their types, with what a rule about one row cannot see for itself.
-- Grain: one row per source row that was looked at.
-- Reads: raw_export_declarations, fetched_ranges, account_states
-- Writes: nothing, is staged for the gate
-- Parameters: $last_day (date)
-- Rerun: same inputs give the same rows in the same order.
WITH read_once AS (
    -- A row may have been read by range and again by key: the range wins. An unreadable date has its own reading.
    SELECT
        raw.*,
        iso_day(raw.reported_on) AS reported_day
    FROM raw_export_declarations AS raw
    WHERE
        CASE raw.fetched_by
            WHEN 'range' THEN iso_day(raw.reported_on) IS NOT NULL
            WHEN 'undated' THEN TRUE
            ELSE
                iso_day(raw.reported_on) <= $last_day
                AND NOT EXISTS (
                    SELECT 1
                    FROM fetched_ranges
                    WHERE iso_day(raw.reported_on) BETWEEN fetched_ranges.start_on AND fetched_ranges.end_on
                )
        END
),

typed AS (
    SELECT
        raw.row_no,
        raw.declaration_id,
        CASE WHEN raw.revision IS NULL THEN 1 ELSE whole_number(raw.revision) END AS revision,
        upper(regexp_replace(raw.bn15, '[ -]', '', 'g')) AS bn15,
        iso_day(raw.exported_on) AS exported_on,
        raw.reported_day AS reported_on,
        raw.status,
        whole_number(raw.value_cents) AS value_cents,
        CASE
            WHEN raw.revision IS NOT NULL AND whole_number(raw.revision) IS NULL THEN 'revision'
            WHEN raw.value_cents IS NOT NULL AND whole_number(raw.value_cents) IS NULL THEN 'value_cents'
            WHEN raw.exported_on IS NOT NULL AND iso_day(raw.exported_on) IS NULL THEN 'exported_on'
            WHEN raw.reported_on IS NOT NULL AND iso_day(raw.reported_on) IS NULL THEN 'reported_on'
        END AS unreadable,
        md5(CAST(to_json(
            list_value(
                raw.declaration_id,
                coalesce(raw.revision, '1'),
                raw.bn15,
                raw.exported_on,
                raw.reported_on,
                raw.status,
                raw.value_cents
            )
        ) AS VARCHAR)) AS row_hash
    FROM read_once AS raw
),

keyed AS (
    SELECT
        typed.*,
        coalesce(typed.declaration_id, '~' || typed.row_hash) AS item_id
    FROM typed
),

compared AS (
    SELECT
        keyed.*,
        count(*) OVER same_key AS key_copies,
        (min(keyed.row_hash) OVER same_key) <> (max(keyed.row_hash) OVER same_key) AS copies_differ,
        row_number() OVER (
            PARTITION BY keyed.item_id, keyed.revision ORDER BY keyed.row_hash, keyed.row_no
        ) AS copy_no
    FROM keyed
    WINDOW same_key AS (PARTITION BY keyed.item_id, keyed.revision)
)

SELECT
    compared.row_no,
    compared.declaration_id,
    compared.revision,
    compared.bn15,
    compared.exported_on,
    compared.reported_on,
    compared.status,
    compared.value_cents,
    compared.key_copies,
    compared.copies_differ,
    NOT compared.copies_differ AND compared.copy_no > 1 AS is_surplus_copy,
    coalesce(account_states.state, 'missing') AS account_state,
    compared.unreadable,
    compared.item_id,
    compared.item_id || '#' || coalesce(CAST(compared.revision AS VARCHAR), '?')
    || CASE WHEN compared.copy_no > 1 THEN '~' || CAST(compared.copy_no AS VARCHAR) ELSE '' END AS row_key,
    compared.row_hash,
    account_key(compared.bn15) AS account_key,
    'EXPORT' AS kind,
    compared.exported_on AS activity_on,
    compared.reported_on AS posted_on,
    coalesce(compared.value_cents, 0) AS amount_cents,
    compared.status = 'accepted' AS is_counted,
    'export' AS activity
FROM compared
LEFT JOIN account_states ON compared.bn15 = account_states.bn15
ORDER BY compared.row_no

-- Purpose: Raw delegations read as their types.
-- Grain: one row per source row.
-- Reads: raw_delegations
-- Writes: nothing, is staged for the gate
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
--
-- The address comes last in the order: it is not published, and must not show in how the published rows lie.
SELECT
    raw_delegations.row_no,
    upper(regexp_replace(raw_delegations.bn15, '[ -]', '', 'g')) AS bn15,
    account_key(upper(regexp_replace(raw_delegations.bn15, '[ -]', '', 'g'))) AS account_key,
    raw_delegations.email,
    raw_delegations.name,
    raw_delegations.role,
    raw_delegations.provider_bn9,
    iso_day(raw_delegations.valid_from) AS valid_from,
    iso_day(raw_delegations.valid_to) AS valid_to,
    CASE
        WHEN raw_delegations.valid_from IS NOT NULL AND iso_day(raw_delegations.valid_from) IS NULL THEN 'valid_from'
        WHEN raw_delegations.valid_to IS NOT NULL AND iso_day(raw_delegations.valid_to) IS NULL THEN 'valid_to'
    END AS unreadable,
    -- By which the address of a refused row is left out when delegates are written to.
    md5(CAST(to_json(
        list_value(
            raw_delegations.bn15,
            raw_delegations.email,
            raw_delegations.name,
            raw_delegations.role,
            raw_delegations.provider_bn9,
            raw_delegations.valid_from,
            raw_delegations.valid_to
        )
    ) AS VARCHAR)) AS row_hash
FROM raw_delegations
ORDER BY
    account_key,
    raw_delegations.role,
    valid_from,
    raw_delegations.name,
    raw_delegations.provider_bn9,
    valid_to,
    raw_delegations.email,
    raw_delegations.row_no

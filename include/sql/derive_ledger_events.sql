-- Purpose: What the rows just read mean for the ledger: what is published, replaced, withdrawn, and with which effect.
-- Grain: one row per row that will be published.
-- Reads: staged, invalid_rows, published_items, open_quarantine, periods, moved
-- Writes: nothing, is the relation events that derive_transactions and derive_export_declarations read
-- Parameters: $period (text), $batch_start (date), $before_batch (text)
-- Rerun: same inputs give the same rows in the same order.
--
-- The state of an item is its highest revision that still stands; the effect of a published row is the state after
-- it less the state before it, so that effects add up to the state whatever the order of arrival.
WITH read_rows AS (
    SELECT
        staged.*,
        invalid_rows.row_no IS NULL AS is_valid
    FROM staged
    LEFT JOIN invalid_rows ON staged.row_no = invalid_rows.row_no
),

shadowing AS (
    -- A published key whose source row turned unusable: its last published content stands until that is mended.
    SELECT DISTINCT regexp_replace(open_quarantine.row_key, '~[0-9]+$', '') AS row_key
    FROM open_quarantine
    WHERE open_quarantine.replaces_published
),

quarantined_keys AS (
    SELECT DISTINCT regexp_replace(open_quarantine.row_key, '~[0-9]+$', '') AS row_key
    FROM open_quarantine
),

published AS (
    SELECT published_items.*
    FROM published_items
    WHERE published_items.arrival NOT IN ('moved', 'restored')
),

standing_in_moved AS (
    SELECT DISTINCT published.item_id
    FROM published
    INNER JOIN moved ON published.posted_on BETWEEN moved.start_on AND moved.end_on
),

concerned AS (
    SELECT read_rows.item_id FROM read_rows
    UNION
    SELECT standing_in_moved.item_id FROM standing_in_moved
    UNION
    SELECT regexp_replace(shadowing.row_key, '#[^#]*$', '') AS item_id FROM shadowing
),

known AS (
    -- The last publication of every key of the items concerned.
    SELECT
        published.*,
        published.arrival <> 'vanished' AS is_standing,
        published.item_id || '#' || CAST(published.revision AS VARCHAR) AS row_key
    FROM published
    SEMI JOIN concerned ON published.item_id = concerned.item_id
    QUALIFY row_number() OVER (
        PARTITION BY published.item_id, published.revision ORDER BY published.version DESC
    ) = 1
),

publications AS (
    SELECT
        read_rows.row_no,
        read_rows.item_id,
        read_rows.revision,
        coalesce(known.version, 0) + 1 AS version,
        known.item_id IS NOT NULL AS is_republished,
        quarantined_keys.row_key IS NOT NULL AS is_released,
        read_rows.account_key,
        read_rows.bn15,
        read_rows.activity,
        read_rows.activity_on,
        read_rows.posted_on,
        read_rows.is_counted,
        read_rows.status,
        read_rows.amount_cents,
        CASE
            WHEN known.item_id IS NOT NULL OR quarantined_keys.row_key IS NOT NULL THEN $period
            WHEN read_rows.posted_on < $batch_start THEN $before_batch
            ELSE periods.period
        END AS placed_in
    FROM read_rows
    LEFT JOIN known ON read_rows.item_id = known.item_id AND read_rows.revision = known.revision
    LEFT JOIN quarantined_keys
        ON read_rows.item_id || '#' || CAST(read_rows.revision AS VARCHAR) = quarantined_keys.row_key
    LEFT JOIN periods ON read_rows.posted_on BETWEEN periods.start_on AND periods.end_on
    WHERE
        read_rows.is_valid
        AND (known.item_id IS NULL OR NOT known.is_standing OR known.row_hash <> read_rows.row_hash)
),

withdrawn AS (
    SELECT known.*
    FROM known
    LEFT JOIN moved ON known.posted_on BETWEEN moved.start_on AND moved.end_on
    LEFT JOIN shadowing ON known.row_key = shadowing.row_key
    ANTI JOIN read_rows ON known.item_id = read_rows.item_id AND known.revision = read_rows.revision
    WHERE known.is_standing AND (moved.start_on IS NOT NULL OR shadowing.row_key IS NOT NULL)
),

state_before AS (
    SELECT known.*
    FROM known
    WHERE known.is_standing
    QUALIFY row_number() OVER (PARTITION BY known.item_id ORDER BY known.revision DESC) = 1
),

steps AS (
    SELECT
        NULL AS row_no,
        state_before.item_id,
        state_before.revision,
        state_before.version,
        TRUE AS is_before,
        FALSE AS is_republished,
        FALSE AS is_released,
        state_before.account_key,
        state_before.bn15,
        state_before.activity,
        state_before.activity_on,
        state_before.posted_on,
        state_before.is_counted,
        state_before.status,
        state_before.amount_cents,
        state_before.placed_in
    FROM state_before
    UNION ALL
    SELECT
        publications.row_no,
        publications.item_id,
        publications.revision,
        publications.version,
        FALSE AS is_before,
        publications.is_republished,
        publications.is_released,
        publications.account_key,
        publications.bn15,
        publications.activity,
        publications.activity_on,
        publications.posted_on,
        publications.is_counted,
        publications.status,
        publications.amount_cents,
        publications.placed_in
    FROM publications
),

numbered AS (
    SELECT
        steps.*,
        CASE WHEN steps.is_counted THEN steps.amount_cents ELSE 0 END AS value_cents,
        CASE WHEN steps.is_counted AND steps.status = 'under_review' THEN steps.amount_cents ELSE 0 END
            AS review_value_cents,
        CASE WHEN steps.is_counted AND steps.status = 'under_review' THEN 1 ELSE 0 END AS review_items,
        row_number() OVER (
            PARTITION BY steps.item_id
            ORDER BY steps.is_before DESC, steps.placed_in, steps.revision, steps.version
        ) AS step_no
    FROM steps
),

applied AS (
    SELECT
        numbered.*,
        numbered.revision >= coalesce(
            max(numbered.revision) OVER (
                PARTITION BY numbered.item_id
                ORDER BY numbered.step_no
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ),
            numbered.revision
        ) AS applies,
        min(numbered.placed_in) OVER (PARTITION BY numbered.item_id) AS first_placed_in
    FROM numbered
),

linked AS (
    SELECT
        applied.*,
        max(CASE WHEN applied.applies THEN applied.step_no END) OVER (
            PARTITION BY applied.item_id
            ORDER BY applied.step_no
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS previous_step_no
    FROM applied
),

changes AS (
    SELECT
        linked.*,
        previous.step_no IS NOT NULL AS has_previous,
        coalesce(previous.account_key = linked.account_key, TRUE) AS stays_in_account,
        coalesce(previous.value_cents, 0) AS previous_value_cents,
        coalesce(previous.review_value_cents, 0) AS previous_review_value_cents,
        coalesce(previous.review_items, 0) AS previous_review_items,
        CASE
            WHEN NOT linked.applies AND linked.is_counted THEN linked.activity
            WHEN
                previous.is_counted
                AND NOT coalesce(
                    linked.is_counted
                    AND linked.account_key = previous.account_key
                    AND linked.activity = previous.activity
                    AND linked.activity_on >= previous.activity_on,
                    FALSE
                )
                THEN previous.activity
        END AS retracted_activity,
        CASE WHEN linked.applies THEN previous.activity_on ELSE linked.activity_on END AS retracted_activity_on,
        CASE WHEN linked.applies THEN previous.account_key ELSE linked.account_key END AS retracted_account_key,
        CASE WHEN linked.applies THEN previous.bn15 ELSE linked.bn15 END AS retracted_bn15,
        previous.row_no AS previous_row_no,
        previous.revision AS previous_revision,
        previous.version AS previous_version
    FROM linked
    LEFT JOIN linked AS previous
        ON linked.item_id = previous.item_id AND linked.previous_step_no = previous.step_no
),

published_rows AS (
    SELECT
        changes.row_no,
        changes.item_id,
        changes.revision,
        changes.version,
        changes.version AS payload_version,
        changes.posted_on,
        changes.placed_in,
        CASE WHEN changes.is_republished THEN 'source_drift' ELSE 'source' END AS origin,
        CASE
            WHEN changes.is_republished THEN 'drift'
            WHEN changes.is_released THEN 'released'
            WHEN changes.placed_in = $before_batch AND $before_batch <> $period THEN 'on_time'
            WHEN changes.posted_on < $batch_start THEN 'late'
            WHEN changes.first_placed_in < changes.placed_in THEN 'revision'
            ELSE 'on_time'
        END AS arrival,
        changes.is_counted,
        CASE
            WHEN NOT changes.applies THEN 0
            WHEN changes.stays_in_account THEN changes.value_cents - changes.previous_value_cents
            ELSE changes.value_cents
        END AS effect_cents,
        CASE
            WHEN NOT changes.applies THEN 0
            WHEN changes.stays_in_account THEN changes.review_value_cents - changes.previous_review_value_cents
            ELSE changes.review_value_cents
        END AS under_review_effect_cents,
        CASE
            WHEN NOT changes.applies THEN 0
            WHEN changes.stays_in_account THEN changes.review_items - changes.previous_review_items
            ELSE changes.review_items
        END AS under_review_items_effect,
        changes.retracted_activity,
        changes.retracted_activity_on,
        changes.retracted_account_key,
        changes.retracted_bn15
    FROM changes
    WHERE NOT changes.is_before
),

-- A revision that names another account takes the item away from the first: that account gets a row of its own.
moved_away AS (
    SELECT
        changes.previous_row_no AS row_no,
        changes.item_id,
        changes.previous_revision AS revision,
        changes.previous_version AS version,
        changes.previous_version AS payload_version,
        changes.posted_on,
        changes.placed_in,
        'source' AS origin,
        'moved' AS arrival,
        FALSE AS is_counted,
        -changes.previous_value_cents AS effect_cents,
        -changes.previous_review_value_cents AS under_review_effect_cents,
        -changes.previous_review_items AS under_review_items_effect,
        CAST(NULL AS VARCHAR) AS retracted_activity,
        CAST(NULL AS DATE) AS retracted_activity_on,
        CAST(NULL AS BIGINT) AS retracted_account_key,
        CAST(NULL AS VARCHAR) AS retracted_bn15
    FROM changes
    WHERE NOT changes.is_before AND changes.applies AND changes.has_previous AND NOT changes.stays_in_account
),

-- Rows that the source deleted. What remains of the item, its highest standing revision, is its state again.
state_after_steps AS (
    SELECT changes.*
    FROM changes
    WHERE changes.applies
    QUALIFY row_number() OVER (PARTITION BY changes.item_id ORDER BY changes.step_no DESC) = 1
),

remaining AS (
    SELECT
        known.item_id,
        known.revision,
        known.version,
        NULL AS row_no,
        known.account_key,
        known.is_counted,
        known.status,
        known.amount_cents
    FROM known
    ANTI JOIN withdrawn ON known.item_id = withdrawn.item_id AND known.revision = withdrawn.revision
    ANTI JOIN publications ON known.item_id = publications.item_id AND known.revision = publications.revision
    WHERE known.is_standing
    UNION ALL
    SELECT
        publications.item_id,
        publications.revision,
        publications.version,
        publications.row_no,
        publications.account_key,
        publications.is_counted,
        publications.status,
        publications.amount_cents
    FROM publications
),

state_remaining AS (
    SELECT
        remaining.*,
        CASE WHEN remaining.is_counted THEN remaining.amount_cents ELSE 0 END AS value_cents,
        CASE WHEN remaining.is_counted AND remaining.status = 'under_review' THEN remaining.amount_cents ELSE 0 END
            AS review_value_cents,
        CASE WHEN remaining.is_counted AND remaining.status = 'under_review' THEN 1 ELSE 0 END AS review_items
    FROM remaining
    QUALIFY row_number() OVER (PARTITION BY remaining.item_id ORDER BY remaining.revision DESC) = 1
),

withdrawals AS (
    SELECT
        withdrawn.item_id,
        withdrawn.revision,
        withdrawn.version,
        withdrawn.posted_on,
        state_after_steps.revision = withdrawn.revision AS was_the_state,
        coalesce(state_remaining.account_key = withdrawn.account_key, TRUE) AS stays_in_account,
        state_after_steps.value_cents AS state_value_cents,
        state_after_steps.review_value_cents AS state_review_value_cents,
        state_after_steps.review_items AS state_review_items,
        CASE WHEN state_after_steps.is_counted THEN state_after_steps.activity END AS state_activity,
        state_after_steps.activity_on AS state_activity_on,
        state_after_steps.account_key AS state_account_key,
        state_after_steps.bn15 AS state_bn15,
        coalesce(state_remaining.is_counted, FALSE) AS remaining_is_counted,
        coalesce(state_remaining.value_cents, 0) AS remaining_value_cents,
        coalesce(state_remaining.review_value_cents, 0) AS remaining_review_value_cents,
        coalesce(state_remaining.review_items, 0) AS remaining_review_items,
        state_remaining.revision AS remaining_revision,
        state_remaining.version AS remaining_version,
        state_remaining.row_no AS remaining_row_no
    FROM withdrawn
    INNER JOIN state_after_steps ON withdrawn.item_id = state_after_steps.item_id
    LEFT JOIN state_remaining ON withdrawn.item_id = state_remaining.item_id
),

withdrawn_rows AS (
    SELECT
        NULL AS row_no,
        withdrawals.item_id,
        withdrawals.revision,
        withdrawals.version + 1 AS version,
        withdrawals.version AS payload_version,
        withdrawals.posted_on,
        $period AS placed_in,
        'source_drift' AS origin,
        'vanished' AS arrival,
        FALSE AS is_counted,
        CASE
            WHEN NOT withdrawals.was_the_state THEN 0
            WHEN withdrawals.stays_in_account
                THEN withdrawals.remaining_value_cents - withdrawals.state_value_cents
            ELSE -withdrawals.state_value_cents
        END AS effect_cents,
        CASE
            WHEN NOT withdrawals.was_the_state THEN 0
            WHEN withdrawals.stays_in_account
                THEN withdrawals.remaining_review_value_cents - withdrawals.state_review_value_cents
            ELSE -withdrawals.state_review_value_cents
        END AS under_review_effect_cents,
        CASE
            WHEN NOT withdrawals.was_the_state THEN 0
            WHEN withdrawals.stays_in_account THEN withdrawals.remaining_review_items - withdrawals.state_review_items
            ELSE -withdrawals.state_review_items
        END AS under_review_items_effect,
        CASE WHEN withdrawals.was_the_state THEN withdrawals.state_activity END AS retracted_activity,
        withdrawals.state_activity_on AS retracted_activity_on,
        withdrawals.state_account_key AS retracted_account_key,
        withdrawals.state_bn15 AS retracted_bn15
    FROM withdrawals
),

restored_rows AS (
    SELECT
        withdrawals.remaining_row_no AS row_no,
        withdrawals.item_id,
        withdrawals.remaining_revision AS revision,
        withdrawals.remaining_version AS version,
        withdrawals.remaining_version AS payload_version,
        withdrawals.posted_on,
        $period AS placed_in,
        'source_drift' AS origin,
        'restored' AS arrival,
        withdrawals.remaining_is_counted AS is_counted,
        withdrawals.remaining_value_cents AS effect_cents,
        withdrawals.remaining_review_value_cents AS under_review_effect_cents,
        withdrawals.remaining_review_items AS under_review_items_effect,
        CAST(NULL AS VARCHAR) AS retracted_activity,
        CAST(NULL AS DATE) AS retracted_activity_on,
        CAST(NULL AS BIGINT) AS retracted_account_key,
        CAST(NULL AS VARCHAR) AS retracted_bn15
    FROM withdrawals
    WHERE withdrawals.was_the_state AND NOT withdrawals.stays_in_account
),

all_rows AS (
    SELECT published_rows.* FROM published_rows
    UNION ALL
    SELECT moved_away.* FROM moved_away
    UNION ALL
    SELECT withdrawn_rows.* FROM withdrawn_rows
    UNION ALL
    SELECT restored_rows.* FROM restored_rows
)

SELECT
    all_rows.row_no,
    all_rows.item_id,
    all_rows.revision,
    all_rows.version,
    all_rows.payload_version,
    all_rows.posted_on,
    all_rows.placed_in,
    all_rows.origin,
    all_rows.arrival,
    all_rows.arrival IN ('drift', 'released', 'late', 'revision', 'vanished', 'moved', 'restored') AS is_late,
    all_rows.is_counted,
    all_rows.effect_cents,
    all_rows.under_review_effect_cents,
    all_rows.under_review_items_effect,
    CASE WHEN all_rows.retracted_activity <> 'none' THEN all_rows.retracted_activity END AS retracted_activity,
    all_rows.retracted_activity_on,
    all_rows.retracted_account_key,
    all_rows.retracted_bn15
FROM all_rows
ORDER BY all_rows.placed_in, all_rows.item_id, all_rows.revision, all_rows.version, all_rows.arrival

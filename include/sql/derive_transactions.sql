-- Purpose: The rows of transactions that the run publishes, with their effects.
-- Grain: one row per published row.
-- Reads: events, staged, published_transactions
-- Writes: transactions and baseline_transactions of the months being extracted
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
WITH payload AS (
    -- A row comes from what was just read; one that the source deleted or moved comes from its last publication.
    SELECT
        events.placed_in,
        events.arrival,
        events.version,
        events.origin,
        events.is_late,
        events.is_counted,
        events.effect_cents,
        events.under_review_effect_cents,
        events.under_review_items_effect,
        staged.transaction_id,
        staged.revision,
        staged.bn15,
        staged.account_key,
        staged.kind,
        staged.transaction_number,
        staged.activity_on,
        staged.posted_on,
        staged.due_on,
        staged.status,
        staged.broker_bn9,
        staged.customs_duty_cents,
        staged.excise_duty_cents,
        staged.excise_tax_cents,
        staged.gst_cents,
        staged.anti_dumping_cents,
        staged.countervailing_cents,
        staged.surtax_cents,
        staged.safeguard_cents,
        staged.provincial_tax_cents,
        staged.interest_cents,
        staged.amount_cents,
        staged.row_hash
    FROM events
    INNER JOIN staged ON events.row_no = staged.row_no
    UNION ALL
    SELECT
        events.placed_in,
        events.arrival,
        events.version,
        events.origin,
        events.is_late,
        events.is_counted,
        events.effect_cents,
        events.under_review_effect_cents,
        events.under_review_items_effect,
        published_transactions.transaction_id,
        published_transactions.revision,
        published_transactions.bn15,
        published_transactions.account_key,
        published_transactions.kind,
        published_transactions.transaction_number,
        published_transactions.activity_on,
        published_transactions.posted_on,
        published_transactions.due_on,
        published_transactions.status,
        published_transactions.broker_bn9,
        published_transactions.customs_duty_cents,
        published_transactions.excise_duty_cents,
        published_transactions.excise_tax_cents,
        published_transactions.gst_cents,
        published_transactions.anti_dumping_cents,
        published_transactions.countervailing_cents,
        published_transactions.surtax_cents,
        published_transactions.safeguard_cents,
        published_transactions.provincial_tax_cents,
        published_transactions.interest_cents,
        published_transactions.amount_cents,
        published_transactions.row_hash
    FROM events
    INNER JOIN published_transactions
        ON
            events.item_id = published_transactions.transaction_id
            AND events.revision = published_transactions.revision
            AND events.payload_version = published_transactions.version
    WHERE events.row_no IS NULL AND published_transactions.arrival NOT IN ('moved', 'restored')
)

SELECT
    payload.placed_in,
    payload.transaction_id,
    payload.revision,
    payload.version,
    payload.bn15,
    payload.account_key,
    payload.kind,
    payload.transaction_number,
    payload.activity_on,
    payload.posted_on,
    payload.due_on,
    CASE WHEN payload.arrival IN ('vanished', 'moved') THEN 'cancelled' ELSE payload.status END AS status,
    payload.broker_bn9,
    payload.customs_duty_cents,
    payload.excise_duty_cents,
    payload.excise_tax_cents,
    payload.gst_cents,
    payload.anti_dumping_cents,
    payload.countervailing_cents,
    payload.surtax_cents,
    payload.safeguard_cents,
    payload.provincial_tax_cents,
    payload.interest_cents,
    payload.amount_cents,
    payload.origin,
    payload.arrival,
    payload.is_late,
    payload.is_counted,
    payload.effect_cents,
    payload.under_review_effect_cents,
    payload.under_review_items_effect,
    payload.row_hash
FROM payload
ORDER BY
    payload.placed_in,
    payload.account_key,
    payload.posted_on,
    payload.transaction_id,
    payload.revision,
    payload.version,
    payload.arrival

-- Purpose: Register the statements of the brokers: each head with the hashes of what was rendered from it.
-- Grain: one row per broker.
-- Reads: broker_heads, rendered_documents
-- Writes: broker_statements
-- Parameters: none
-- Rerun: the same relations give the same rows in the same order; the period's file is replaced.
SELECT
    broker_heads.bn9,
    broker_heads.period,
    broker_heads.issued_on,
    broker_heads.language,
    broker_heads.clients,
    broker_heads.line_count,
    broker_heads.item_count,
    broker_heads.opening_cents,
    broker_heads.debits_cents,
    broker_heads.credits_cents,
    broker_heads.moved_cents,
    broker_heads.settled_cents,
    broker_heads.closing_cents,
    broker_heads.under_review_cents,
    rendered_documents.object_sha256,
    rendered_documents.document_sha256,
    rendered_documents.csv_sha256,
    rendered_documents.pdf_sha256
FROM broker_heads
LEFT JOIN rendered_documents
    ON broker_heads.bn9 = rendered_documents.bn9 AND rendered_documents.kind = 'broker_statement'
ORDER BY broker_heads.firm_key

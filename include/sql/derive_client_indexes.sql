-- Purpose: Register the indexes of the providers of services: each head with the hashes of what was rendered from it.
-- Grain: one row per provider.
-- Reads: provider_heads, rendered_documents
-- Writes: client_indexes
-- Parameters: none
-- Rerun: the same relations give the same rows in the same order; the period's file is replaced.
SELECT
    provider_heads.bn9,
    provider_heads.period,
    provider_heads.issued_on,
    provider_heads.language,
    provider_heads.clients,
    rendered_documents.object_sha256,
    rendered_documents.document_sha256,
    rendered_documents.csv_sha256,
    rendered_documents.pdf_sha256
FROM provider_heads
LEFT JOIN rendered_documents
    ON provider_heads.bn9 = rendered_documents.bn9 AND rendered_documents.kind = 'client_index'
ORDER BY provider_heads.firm_key

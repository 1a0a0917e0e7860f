-- Purpose: How many rows of the month's registry of statements differ from the sealed statements, in both directions.
-- Grain: one row.
-- Reads: registered, statements
-- Writes: nothing, returns counts
-- Parameters: none
-- Rerun: reads only.
--
-- Of a month that an earlier release issued the registry knows the hash of the page alone, and of no statement more.
WITH registry AS (
    SELECT
        registered.bn15,
        registered.version,
        registered.object_sha256,
        registered.document_sha256,
        registered.csv_sha256,
        registered.pdf_sha256,
        count(registered.object_sha256) OVER () > 0 AS has_objects
    FROM registered
),

compared AS (
    SELECT
        registry.bn15 IS NOT NULL AS is_registered,
        statements.bn15 IS NOT NULL AS is_sealed,
        registry.document_sha256 <> statements.document_sha256
        OR (
            registry.has_objects
            AND (
                coalesce(registry.object_sha256, '') <> coalesce(statements.object_sha256, '')
                OR coalesce(registry.csv_sha256, '') <> coalesce(statements.csv_sha256, '')
                OR coalesce(registry.pdf_sha256, '') <> coalesce(statements.pdf_sha256, '')
            )
        ) AS has_other_hashes
    FROM registry
    FULL OUTER JOIN statements
        ON
            registry.bn15 = statements.bn15
            AND registry.version = statements.version
)

SELECT
    count(*) FILTER (WHERE compared.is_sealed AND NOT compared.is_registered) AS not_registered,
    count(*) FILTER (WHERE compared.is_registered AND NOT compared.is_sealed) AS not_sealed,
    count(*) FILTER (
        WHERE compared.is_registered AND compared.is_sealed AND compared.has_other_hashes
    ) AS other_hashes
FROM compared

-- Purpose: Say which messages of the month a digest takes the place of, and of which digest of their reader.
-- Grain: one row per message that a digest takes the place of.
-- Reads: addressed, told
-- Writes: none
-- Parameters: $from_messages, $most_lines
-- Rerun: the same rows in the same order, also once what it says is told.
--
-- What a person was told stays as it was told: alone, or by the digest of that version. What is new to the person is
-- counted, and goes into a digest of its own where that is many; into several of about the same length where one would
-- have more than $most_lines lines, in the order of the accounts.
WITH known AS (
    SELECT
        recipient_key,
        kind,
        about,
        version,
        MAX(digest_version) AS digest_version
    FROM told
    GROUP BY
        recipient_key,
        kind,
        about,
        version
),

latest AS (
    SELECT
        recipient_key,
        MAX(digest_version) AS digest_version
    FROM told
    GROUP BY recipient_key
),

messages AS (
    SELECT
        addressed.message_key,
        addressed.recipient_key,
        addressed.about,
        addressed.kind,
        addressed.version,
        known.recipient_key IS NULL AS is_new,
        known.digest_version
    FROM addressed
    LEFT JOIN known
        ON
            addressed.recipient_key = known.recipient_key
            AND addressed.kind = known.kind
            AND addressed.about = known.about
            AND addressed.version = known.version
),

many AS (
    SELECT
        messages.recipient_key,
        COALESCE(MAX(latest.digest_version), 0) AS digest_version,
        COUNT(*) AS new_lines,
        CEIL(COUNT(*) / $most_lines) AS digests
    FROM messages
    LEFT JOIN latest
        ON messages.recipient_key = latest.recipient_key
    WHERE messages.is_new
    GROUP BY messages.recipient_key
    HAVING COUNT(*) >= $from_messages
),

placed AS (
    SELECT
        messages.message_key,
        CASE
            WHEN messages.is_new
                THEN many.digest_version + 1 + CAST(FLOOR((
                    ROW_NUMBER() OVER (
                        PARTITION BY messages.recipient_key, messages.is_new
                        ORDER BY messages.about, messages.kind, messages.version
                    ) - 1
                ) * many.digests / many.new_lines) AS BIGINT)
            ELSE messages.digest_version
        END AS digest_version
    FROM messages
    LEFT JOIN many
        ON messages.recipient_key = many.recipient_key
)

SELECT
    placed.message_key,
    placed.digest_version
FROM placed
WHERE placed.digest_version IS NOT NULL
ORDER BY placed.message_key

-- What a mapping usually gets wrong, counted over the whole source; changes nothing. Run it as the reader:
--   psql -d customs -U carm_reader -f docs/adapting/check.sql
-- No row is no finding. A finding need not be a fault of the mapping: real ledgers hold such rows, and the gate sets
-- them apart. But a count that comes near that of the whole table is one.
SELECT
    findings.feed,
    findings.finding,
    count(*) AS found
FROM (
    SELECT
        'accounts' AS feed,
        'bn15 is not nine digits, RM and four digits' AS finding
    FROM accounts
    WHERE bn15 !~ '^[0-9]{9}RM[0-9]{4}$' OR bn15 IS NULL
    UNION ALL
    SELECT 'accounts', 'program_type is ' || coalesce(program_type, 'NULL')
    FROM accounts
    WHERE program_type NOT IN ('importer', 'exporter', 'dual') OR program_type IS NULL
    UNION ALL
    SELECT 'accounts', 'status is ' || coalesce(status, 'NULL')
    FROM accounts
    WHERE status NOT IN ('open', 'closed') OR status IS NULL
    UNION ALL
    SELECT 'accounts', 'language is ' || language
    FROM accounts
    WHERE language NOT IN ('en', 'fr')
    UNION ALL
    SELECT 'accounts', 'several current versions'
    FROM accounts
    WHERE valid_to IS NULL
    GROUP BY bn15
    HAVING count(*) > 1
    UNION ALL
    SELECT 'accounts', 'a version ends on another day than the next one begins'
    FROM (
        SELECT valid_to, lead(valid_from) OVER (PARTITION BY bn15 ORDER BY valid_from, valid_to) AS next_from
        FROM accounts
    ) AS versions
    WHERE next_from <> valid_to OR (next_from IS NOT NULL AND valid_to IS NULL)
    UNION ALL
    SELECT 'transactions', 'no account of this number'
    FROM transactions
    WHERE NOT EXISTS (SELECT 1 FROM accounts WHERE accounts.bn15 = transactions.bn15)
    UNION ALL
    SELECT 'transactions', 'kind is ' || coalesce(kind, 'NULL')
    FROM transactions
    WHERE
        kind IS NULL
        OR kind NOT IN (
            'B3', 'CAD', 'RS', 'LVS', 'B2', 'K32', 'PMT', 'INT', 'LAP', 'AMPS', 'AI', 'K23', 'K3', 'NSF', 'NPA', 'K9',
            'OFS', 'DSB', 'BFW'
        )
    UNION ALL
    SELECT 'transactions', 'status is ' || coalesce(status, 'NULL')
    FROM transactions
    WHERE status NOT IN ('accepted', 'under_review', 'cancelled', 'reversed') OR status IS NULL
    UNION ALL
    SELECT 'transactions', 'no transaction_id'
    FROM transactions
    WHERE transaction_id IS NULL
    UNION ALL
    SELECT 'transactions', 'several rows of a transaction_id and revision'
    FROM transactions
    WHERE transaction_id IS NOT NULL
    GROUP BY transaction_id, coalesce(revision, 1)
    HAVING count(*) > 1
    UNION ALL
    SELECT 'transactions', 'no posted_on'
    FROM transactions
    WHERE posted_on IS NULL
    UNION ALL
    SELECT 'transactions', 'activity_on is no day, or not one from 1980 to the posting'
    FROM transactions
    WHERE
        activity_on IS NULL
        OR activity_on::text !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$'
        OR activity_on::text NOT BETWEEN '1980-01-01' AND posted_on::text
    UNION ALL
    SELECT 'transactions', 'no amount_cents'
    FROM transactions
    WHERE amount_cents IS NULL
    UNION ALL
    SELECT 'transactions', 'the components do not add up to the amount'
    FROM (
        SELECT
            amount_cents,
            customs_duty_cents + excise_duty_cents + excise_tax_cents + gst_cents + anti_dumping_cents
            + countervailing_cents + surtax_cents + safeguard_cents + provincial_tax_cents + interest_cents
            AS sum_cents,
            greatest(
                abs(customs_duty_cents), abs(excise_duty_cents), abs(excise_tax_cents), abs(gst_cents),
                abs(anti_dumping_cents), abs(countervailing_cents), abs(surtax_cents), abs(safeguard_cents),
                abs(provincial_tax_cents), abs(interest_cents)
            ) AS largest_cents
        FROM transactions
    ) AS sums
    WHERE largest_cents > 0 AND sum_cents <> amount_cents
    UNION ALL
    SELECT 'export_declarations', 'no account of this number'
    FROM export_declarations
    WHERE NOT EXISTS (SELECT 1 FROM accounts WHERE accounts.bn15 = export_declarations.bn15)
    UNION ALL
    SELECT 'export_declarations', 'status is ' || coalesce(status, 'NULL')
    FROM export_declarations
    WHERE status NOT IN ('accepted', 'cancelled', 'rejected') OR status IS NULL
    UNION ALL
    SELECT 'export_declarations', 'several rows of a declaration_id and revision'
    FROM export_declarations
    GROUP BY declaration_id, coalesce(revision, 1)
    HAVING count(*) > 1
    UNION ALL
    SELECT 'export_declarations', 'no reported_on'
    FROM export_declarations
    WHERE reported_on IS NULL
) AS findings
GROUP BY findings.feed, findings.finding
ORDER BY findings.feed, findings.finding;

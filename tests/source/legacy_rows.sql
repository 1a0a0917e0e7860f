-- The rows of the ordinary tables, moved into the invented database of docs/adapting/legacy_schema.sql: the mapping of
-- views.sql the other way round, so that the views must give back what stood in the tables.

INSERT INTO rev.acct_version (
    bus_no, prog_acct, eff_from, eff_thru, legal_nm, trade_nm, prog_cd, stat_cd, lang_cd, opened_dt, closed_dt,
    reopened_dt, email_addr, prov_cd, hold_cd, hold_thru, first_login_ts, mfa_ts, risk_cd
)
SELECT
    left(bn15, 9),
    substr(bn15, 10),
    valid_from,
    coalesce(valid_to - 1, DATE '9999-12-31'),
    legal_name,
    coalesce(operating_name, ''),
    CASE program_type WHEN 'importer' THEN 'I' WHEN 'exporter' THEN 'E' WHEN 'dual' THEN 'B' WHEN 'broker' THEN 'K' END,
    CASE status WHEN 'open' THEN 'O' WHEN 'closed' THEN 'C' END,
    CASE language WHEN 'en' THEN 'E' WHEN 'fr' THEN 'F' ELSE '' END,
    opened_on,
    closed_on,
    reinstated_on,
    email,
    province,
    hold_reason,
    hold_until,
    -- A quarter to midnight in Toronto is the next day elsewhere.
    (portal_registered_on + TIME '23:45') AT TIME ZONE 'America/Toronto',
    (mfa_registered_on + TIME '00:05') AT TIME ZONE 'America/Toronto',
    'H'
FROM public.accounts;

INSERT INTO rev.entry_type (type_cd, label)
SELECT 10 * row_number() OVER (ORDER BY kind), kind
FROM (SELECT DISTINCT kind FROM public.transactions WHERE kind IS NOT NULL) AS kinds;

ALTER TABLE public.transactions ADD COLUMN entry_row bigint GENERATED ALWAYS AS IDENTITY;

INSERT INTO rev.entry (
    entry_row, entry_no, seq_no, bus_no, prog_acct, type_cd, doc_no, event_dt, due_dt, posted_ts, state_cd, secured_by,
    amount_cad
)
OVERRIDING SYSTEM VALUE
SELECT
    entry_row,
    transaction_id,
    revision,
    left(bn15, 9),
    substr(bn15, 10),
    entry_type.type_cd,
    coalesce(transaction_number, ''),
    coalesce(to_char(activity_on, 'YYYYMMDD'), ''),
    coalesce(to_char(due_on, 'YYYYMMDD'), ''),
    (posted_on + TIME '23:45') AT TIME ZONE 'America/Toronto',
    CASE status
        WHEN 'accepted' THEN 'A'
        WHEN 'under_review' THEN 'R'
        WHEN 'cancelled' THEN 'C'
        WHEN 'reversed' THEN 'V'
        WHEN 'pending' THEN 'P'
    END,
    broker_bn9,
    amount_cents / 100.0
FROM public.transactions
LEFT JOIN rev.entry_type ON transactions.kind = entry_type.label;

INSERT INTO rev.entry_tax (entry_row, tax_cd, amount_cad)
SELECT transactions.entry_row, component.tax_cd, component.cents / 100.0
FROM public.transactions
CROSS JOIN LATERAL (
    VALUES
    ('DUTY', customs_duty_cents), ('XDUTY', excise_duty_cents), ('XTAX', excise_tax_cents), ('GST', gst_cents),
    ('SIMA-AD', anti_dumping_cents), ('SIMA-CV', countervailing_cents), ('SURTAX', surtax_cents),
    ('SAFE', safeguard_cents), ('PST', provincial_tax_cents), ('INT', interest_cents)
) AS component (tax_cd, cents)
WHERE component.cents <> 0;

INSERT INTO cers.filing (
    filing_no, amend_no, bus_no, prog_acct, left_canada_dt, received_ts, state_cd, value_cad
)
SELECT
    declaration_id,
    revision,
    left(bn15, 9),
    substr(bn15, 10),
    coalesce(to_char(exported_on, 'YYYYMMDD'), ''),
    (reported_on + TIME '23:45') AT TIME ZONE 'America/Toronto',
    CASE status WHEN 'accepted' THEN 'A' WHEN 'cancelled' THEN 'C' WHEN 'rejected' THEN 'R' WHEN 'held' THEN 'H' END,
    value_cents / 100.0
FROM public.export_declarations;

INSERT INTO portal.person (person_id, email, full_name)
SELECT row_number() OVER (ORDER BY email, name), email, name
FROM (SELECT DISTINCT email, name FROM public.delegations) AS people;

INSERT INTO portal.access_right (person_id, bus_no, prog_acct, role_no, firm_bus_no, since, until)
SELECT
    person.person_id,
    left(bn15, 9),
    substr(bn15, 10),
    CASE role
        WHEN 'business_account_manager' THEN 1
        WHEN 'program_account_manager' THEN 2
        WHEN 'editor' THEN 3
        WHEN 'reader' THEN 4
    END,
    provider_bn9,
    valid_from,
    valid_to - 1
FROM public.delegations
INNER JOIN portal.person
    ON
        person.email IS NOT DISTINCT FROM delegations.email
        AND person.full_name IS NOT DISTINCT FROM delegations.name;

DROP TABLE
    public.accounts, public.transactions, public.export_declarations, public.delegations, public.subscribers,
    public.webinars, public.carm_loads, public.carm_demo_world;

ANALYZE;

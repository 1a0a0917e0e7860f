-- The tables that this project reads, as views of the invented database. Run it as the owner of the tables below.
-- Rule of all of them: a view must not fail on a row and must not hide one. What cannot be mapped is handed on as it
-- stands, for the gate to judge, with its reason. And a char(n) is cast to text, or the whole CASE would be one.

CREATE SCHEMA carm_feed;

CREATE VIEW carm_feed.accounts AS
SELECT
    version.bus_no || version.prog_acct AS bn15,
    version.eff_from AS valid_from,
    -- From the last day on which it holds to the first on which it does not.
    CASE WHEN version.eff_thru < DATE '9999-12-31' THEN version.eff_thru + 1 END AS valid_to,
    version.legal_nm AS legal_name,
    nullif(version.trade_nm, '') AS operating_name,
    CASE version.prog_cd
        WHEN 'I' THEN 'importer'
        WHEN 'E' THEN 'exporter'
        WHEN 'B' THEN 'dual'
        WHEN 'K' THEN 'broker' -- no type of the clean-up: such an account goes to a person
        ELSE version.prog_cd::text
    END AS program_type,
    CASE version.stat_cd WHEN 'O' THEN 'open' WHEN 'C' THEN 'closed' ELSE version.stat_cd::text END AS status,
    version.opened_dt AS opened_on,
    version.closed_dt AS closed_on,
    version.reopened_dt AS reinstated_on,
    CASE version.lang_cd WHEN 'E' THEN 'en' WHEN 'F' THEN 'fr' ELSE nullif(version.lang_cd::text, '') END AS language,
    version.email_addr AS email,
    version.prov_cd::text AS province,
    version.hold_cd AS hold_reason,
    version.hold_thru AS hold_until,
    (version.first_login_ts AT TIME ZONE 'America/Toronto')::date AS portal_registered_on,
    (version.mfa_ts AT TIME ZONE 'America/Toronto')::date AS mfa_registered_on
FROM rev.acct_version AS version;

CREATE VIEW carm_feed.transactions AS
SELECT
    entry.entry_no AS transaction_id,
    entry.seq_no AS revision,
    entry.bus_no || entry.prog_acct AS bn15,
    coalesce(entry_type.label, entry.type_cd::text) AS kind,
    nullif(entry.doc_no::text, '') AS transaction_number,
    -- Eight digits become an ISO day. Anything else stays as it is and is refused by name: to_date would fail the query.
    regexp_replace(nullif(entry.event_dt::text, ''), '^(\d{4})(\d\d)(\d\d)$', '\1-\2-\3') AS activity_on,
    -- The day in Toronto, whatever the time zone of the session.
    (entry.posted_ts AT TIME ZONE 'America/Toronto')::date AS posted_on,
    regexp_replace(nullif(entry.due_dt::text, ''), '^(\d{4})(\d\d)(\d\d)$', '\1-\2-\3') AS due_on,
    CASE entry.state_cd
        WHEN 'A' THEN 'accepted'
        WHEN 'R' THEN 'under_review'
        WHEN 'C' THEN 'cancelled'
        WHEN 'V' THEN 'reversed'
        WHEN 'P' THEN 'pending' -- a state that the project does not know: the row goes to quarantine, and is not lost
        ELSE entry.state_cd::text
    END AS status,
    entry.secured_by AS broker_bn9,
    coalesce((taxes.customs_duty * 100)::bigint, 0) AS customs_duty_cents,
    coalesce((taxes.excise_duty * 100)::bigint, 0) AS excise_duty_cents,
    coalesce((taxes.excise_tax * 100)::bigint, 0) AS excise_tax_cents,
    coalesce((taxes.gst * 100)::bigint, 0) AS gst_cents,
    coalesce((taxes.anti_dumping * 100)::bigint, 0) AS anti_dumping_cents,
    coalesce((taxes.countervailing * 100)::bigint, 0) AS countervailing_cents,
    coalesce((taxes.surtax * 100)::bigint, 0) AS surtax_cents,
    coalesce((taxes.safeguard * 100)::bigint, 0) AS safeguard_cents,
    coalesce((taxes.provincial_tax * 100)::bigint, 0) AS provincial_tax_cents,
    coalesce((taxes.interest * 100)::bigint, 0) AS interest_cents,
    -- Exact, because the column holds two decimals and no more.
    (entry.amount_cad * 100)::bigint AS amount_cents
FROM rev.entry AS entry
LEFT JOIN rev.entry_type AS entry_type ON entry.type_cd = entry_type.type_cd
-- Row by row, so that a month reads the components of its own rows and the totals read none. A code that is missing
-- here shows: the components of its rows no longer add up.
LEFT JOIN LATERAL (
    SELECT
        sum(tax.amount_cad) FILTER (WHERE tax.tax_cd = 'DUTY') AS customs_duty,
        sum(tax.amount_cad) FILTER (WHERE tax.tax_cd = 'XDUTY') AS excise_duty,
        sum(tax.amount_cad) FILTER (WHERE tax.tax_cd = 'XTAX') AS excise_tax,
        sum(tax.amount_cad) FILTER (WHERE tax.tax_cd = 'GST') AS gst,
        sum(tax.amount_cad) FILTER (WHERE tax.tax_cd = 'SIMA-AD') AS anti_dumping,
        sum(tax.amount_cad) FILTER (WHERE tax.tax_cd = 'SIMA-CV') AS countervailing,
        sum(tax.amount_cad) FILTER (WHERE tax.tax_cd = 'SURTAX') AS surtax,
        sum(tax.amount_cad) FILTER (WHERE tax.tax_cd = 'SAFE') AS safeguard,
        sum(tax.amount_cad) FILTER (WHERE tax.tax_cd = 'PST') AS provincial_tax,
        sum(tax.amount_cad) FILTER (WHERE tax.tax_cd = 'INT') AS interest
    FROM rev.entry_tax AS tax
    WHERE tax.entry_row = entry.entry_row
) AS taxes ON TRUE;

CREATE VIEW carm_feed.export_declarations AS
SELECT
    filing.filing_no AS declaration_id,
    filing.amend_no AS revision,
    filing.bus_no || filing.prog_acct AS bn15,
    regexp_replace(nullif(filing.left_canada_dt::text, ''), '^(\d{4})(\d\d)(\d\d)$', '\1-\2-\3') AS exported_on,
    (filing.received_ts AT TIME ZONE 'America/Toronto')::date AS reported_on,
    CASE filing.state_cd
        WHEN 'A' THEN 'accepted'
        WHEN 'C' THEN 'cancelled'
        WHEN 'R' THEN 'rejected'
        WHEN 'H' THEN 'held' -- unknown here as well
        ELSE filing.state_cd::text
    END AS status,
    (filing.value_cad * 100)::bigint AS value_cents
FROM cers.filing AS filing;

CREATE VIEW carm_feed.delegations AS
SELECT
    access_right.bus_no || access_right.prog_acct AS bn15,
    person.email,
    person.full_name AS name,
    CASE access_right.role_no
        WHEN 1 THEN 'business_account_manager'
        WHEN 2 THEN 'program_account_manager'
        WHEN 3 THEN 'editor'
        WHEN 4 THEN 'reader'
        ELSE access_right.role_no::text
    END AS role,
    access_right.firm_bus_no AS provider_bn9,
    access_right.since AS valid_from,
    access_right.until + 1 AS valid_to
FROM portal.access_right AS access_right
INNER JOIN portal.person AS person ON access_right.person_id = person.person_id;

-- No view of subscribers and webinars: this database has none, and both feeds are empty then.

-- Indexes over the very expressions of the views: a month, and the rows of some accounts, are then found and not
-- looked for. PostgreSQL keeps them by itself.
CREATE INDEX entry_posted_day ON rev.entry (((posted_ts AT TIME ZONE 'America/Toronto')::date));
CREATE INDEX filing_received_day ON cers.filing (((received_ts AT TIME ZONE 'America/Toronto')::date));
CREATE INDEX entry_account ON rev.entry (
    (replace(replace(upper(bus_no || prog_acct), ' ', ''), '-', ''))
);
CREATE INDEX filing_account ON cers.filing (
    (replace(replace(upper(bus_no || prog_acct), ' ', ''), '-', ''))
);
CREATE INDEX acct_version_account ON rev.acct_version (
    (replace(replace(upper(bus_no || prog_acct), ' ', ''), '-', ''))
);

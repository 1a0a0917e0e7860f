-- An invented database of another shape, for the example of docs/adapting.md: nobody's real system looks like this.
-- Three schemas, other names, codes for words, dollars for cents, a child table for the components of an amount.

CREATE SCHEMA rev;
CREATE SCHEMA cers;
CREATE SCHEMA portal;

-- One row a version of an account. eff_thru is the last day on which it holds: 9999-12-31 while it does.
CREATE TABLE rev.acct_version (
    version_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    bus_no text NOT NULL, -- nine digits
    prog_acct text NOT NULL, -- RM0001
    eff_from date NOT NULL,
    eff_thru date NOT NULL DEFAULT '9999-12-31',
    legal_nm varchar(200),
    trade_nm varchar(200) NOT NULL DEFAULT '', -- blank: none
    prog_cd char(1), -- I importer, E exporter, B both, K customs broker
    stat_cd char(1) NOT NULL, -- O open, C closed
    lang_cd char(1) NOT NULL DEFAULT '', -- E, F, blank: not said
    opened_dt date,
    closed_dt date,
    reopened_dt date,
    email_addr text,
    prov_cd char(2),
    hold_cd text,
    hold_thru date,
    first_login_ts timestamptz,
    mfa_ts timestamptz,
    risk_cd char(1) NOT NULL DEFAULT 'N', -- of no use here, and not to be lost
    changed_by text NOT NULL DEFAULT session_user
);
CREATE INDEX acct_version_key ON rev.acct_version (bus_no, prog_acct, eff_from);

CREATE TABLE rev.entry_type (
    type_cd smallint PRIMARY KEY,
    label text NOT NULL -- B3, PMT ...
);

-- One row a posting of the ledger; amounts in dollars, debits positive.
CREATE TABLE rev.entry (
    entry_row bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entry_no text,
    seq_no smallint, -- the revision
    bus_no text NOT NULL,
    prog_acct text NOT NULL,
    type_cd smallint,
    doc_no char(14) NOT NULL DEFAULT '',
    event_dt char(8) NOT NULL DEFAULT '', -- 20211224, blank: not known
    due_dt char(8) NOT NULL DEFAULT '',
    posted_ts timestamptz,
    state_cd char(1), -- A accepted, R under review, C cancelled, V reversed, P pending
    secured_by text, -- the broker's nine digits
    amount_cad numeric(14, 2)
);
CREATE INDEX entry_key ON rev.entry (entry_no, seq_no);

-- What an amount is made of: a row a component that is not zero.
CREATE TABLE rev.entry_tax (
    entry_row bigint NOT NULL REFERENCES rev.entry,
    tax_cd text NOT NULL,
    amount_cad numeric(14, 2) NOT NULL
);
CREATE INDEX entry_tax_of_entry ON rev.entry_tax (entry_row);

CREATE TABLE cers.filing (
    filing_no text,
    amend_no smallint, -- the revision
    bus_no text NOT NULL,
    prog_acct text NOT NULL,
    left_canada_dt char(8) NOT NULL DEFAULT '',
    received_ts timestamptz,
    state_cd char(1), -- A accepted, C cancelled, R rejected, H held
    value_cad numeric(14, 2)
);

CREATE TABLE portal.person (
    person_id bigint PRIMARY KEY,
    email text,
    full_name text
);

CREATE TABLE portal.access_right (
    person_id bigint NOT NULL REFERENCES portal.person,
    bus_no text NOT NULL,
    prog_acct text NOT NULL,
    role_no smallint NOT NULL, -- 1 business account manager, 2 program account manager, 3 editor, 4 reader
    firm_bus_no text, -- of a service provider; NULL: an employee
    since date NOT NULL,
    until date -- the last day; NULL: goes on
);

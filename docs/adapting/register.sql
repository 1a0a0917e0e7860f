-- Lets the pipeline change accounts through the view. Not needed where changes go out as a file (policy: apply: file).
-- The functions run with the rights of their owner and touch one table; carm_writer has no right on it.

-- The words back into codes; NULL for a word that has none.
CREATE FUNCTION carm_feed.program_code(word text) RETURNS char(1)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE word WHEN 'importer' THEN 'I' WHEN 'exporter' THEN 'E' WHEN 'dual' THEN 'B' END
$$;

CREATE FUNCTION carm_feed.status_code(word text) RETURNS char(1)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE word WHEN 'open' THEN 'O' WHEN 'closed' THEN 'C' END
$$;

-- A new version: all that the account has now, but for what a plan or an undoing decides. So nothing gets lost that
-- the view does not show. The pipeline begins the new version first, and ends the former one then.
CREATE FUNCTION carm_feed.begin_version() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO rev.acct_version (
        bus_no, prog_acct, eff_from, legal_nm, trade_nm, prog_cd, stat_cd, lang_cd, opened_dt, closed_dt, reopened_dt,
        email_addr, prov_cd, hold_cd, hold_thru, first_login_ts, mfa_ts, risk_cd, changed_by
    )
    SELECT
        former.bus_no, former.prog_acct, new.valid_from, former.legal_nm, former.trade_nm,
        -- A type without a code is none that a plan can write, so it is the former one.
        coalesce(carm_feed.program_code(new.program_type), former.prog_cd), carm_feed.status_code(new.status),
        former.lang_cd, former.opened_dt, new.closed_on, new.reinstated_on, former.email_addr, former.prov_cd,
        former.hold_cd, former.hold_thru, former.first_login_ts, former.mfa_ts, former.risk_cd, session_user
    FROM rev.acct_version AS former
    WHERE
        former.bus_no || former.prog_acct = new.bn15
        AND former.eff_thru = DATE '9999-12-31'
        AND former.eff_from < new.valid_from
    ORDER BY former.version_id
    LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'an account has no current version to go on from';
    END IF;
    RETURN new;
END
$$;

-- The end of the current version, or what an undoing puts right in one that began on the same day.
CREATE FUNCTION carm_feed.change_version() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE rev.acct_version AS version
    SET
        eff_thru = coalesce(new.valid_to - 1, DATE '9999-12-31'),
        prog_cd = coalesce(carm_feed.program_code(new.program_type), version.prog_cd),
        stat_cd = carm_feed.status_code(new.status),
        closed_dt = new.closed_on,
        reopened_dt = new.reinstated_on,
        changed_by = session_user
    WHERE
        version.bus_no || version.prog_acct = old.bn15
        AND version.eff_from = old.valid_from
        AND version.eff_thru = DATE '9999-12-31';
    RETURN new;
END
$$;

CREATE TRIGGER begin_version INSTEAD OF INSERT ON carm_feed.accounts
FOR EACH ROW EXECUTE FUNCTION carm_feed.begin_version();

CREATE TRIGGER change_version INSTEAD OF UPDATE ON carm_feed.accounts
FOR EACH ROW EXECUTE FUNCTION carm_feed.change_version();

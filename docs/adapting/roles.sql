-- Two users of the database. Give each its password with \password, and none to anybody else.

-- Reads the views and nothing else: the tables below them are read with the rights of the views' owner.
CREATE ROLE carm_reader LOGIN;
GRANT USAGE ON SCHEMA carm_feed TO carm_reader;
GRANT SELECT ON carm_feed.accounts, carm_feed.transactions, carm_feed.export_declarations, carm_feed.delegations
TO carm_reader;
ALTER ROLE carm_reader SET search_path = carm_feed;
ALTER ROLE carm_reader SET default_transaction_read_only = on;

-- Keeps the carm_ tables in a schema of its own, and changes accounts through the view. Where changes go out as a file
-- leave the grant on accounts away.
CREATE ROLE carm_writer LOGIN;
CREATE SCHEMA carm_ops AUTHORIZATION carm_writer;
GRANT USAGE ON SCHEMA carm_feed TO carm_writer;
GRANT SELECT, INSERT, UPDATE ON carm_feed.accounts TO carm_writer;
ALTER ROLE carm_writer SET search_path = carm_ops, carm_feed;

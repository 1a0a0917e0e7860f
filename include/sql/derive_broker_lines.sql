-- Purpose: The lines of the clients' statements that a broker secured, in the order of the brokers.
-- Grain: one row per line of a client's statement whose broker has a valid number.
-- Reads: firm_numbers, statement_lines
-- Writes: broker_lines
-- Parameters: none
-- Rerun: the same relations give the same rows in the same order; the period's file is replaced.
--
-- The same line is seen from the other side, never a second one: `account_key` and `line_no` name it on the client's
-- statement. The balance of the client is no business of the broker and is left out.
SELECT
    firm_numbers.bn9,
    firm_numbers.firm_key,
    statement_lines.bn15,
    statement_lines.account_key,
    statement_lines.line_no,
    statement_lines.transaction_id,
    statement_lines.revision,
    statement_lines.version,
    statement_lines.kind,
    statement_lines.transaction_number,
    statement_lines.activity_on,
    statement_lines.posted_on,
    statement_lines.due_on,
    statement_lines.status,
    statement_lines.arrival,
    statement_lines.customs_duty_cents,
    statement_lines.excise_duty_cents,
    statement_lines.excise_tax_cents,
    statement_lines.gst_cents,
    statement_lines.anti_dumping_cents,
    statement_lines.countervailing_cents,
    statement_lines.surtax_cents,
    statement_lines.safeguard_cents,
    statement_lines.provincial_tax_cents,
    statement_lines.interest_cents,
    statement_lines.amount_cents,
    statement_lines.posted_amount_cents
FROM statement_lines
INNER JOIN firm_numbers
    ON statement_lines.broker_bn9 = firm_numbers.bn9
ORDER BY
    firm_numbers.firm_key,
    statement_lines.account_key,
    statement_lines.line_no

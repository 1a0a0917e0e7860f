-- Purpose: The account versions that hold on the month's last day and may be worked with.
-- Grain: one row per account.
-- Reads: staged, invalid_rows
-- Writes: accounts
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
SELECT
    staged.bn15,
    staged.account_key,
    staged.valid_from,
    staged.valid_to,
    staged.legal_name,
    staged.operating_name,
    staged.program_type,
    staged.status,
    staged.opened_on,
    staged.closed_on,
    staged.reinstated_on,
    staged.language,
    staged.province,
    staged.hold_reason,
    staged.hold_until,
    staged.portal_registered_on,
    staged.mfa_registered_on
FROM staged
ANTI JOIN invalid_rows ON staged.row_no = invalid_rows.row_no
ORDER BY staged.account_key

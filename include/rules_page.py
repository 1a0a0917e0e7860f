"""``docs/clean-up-rules.md``, written from the rule table: ``python -m include.rules_page`` writes it anew."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from include.program_type_rules import ACTIVITY_SEEN, PROGRAM_TYPES, Rule, RuleTable

PAGE = Path(__file__).resolve().parents[1] / "docs" / "clean-up-rules.md"

REASONS = {
    "no_activity_4_years": "No import, export or drawback claim in the past four years.",
    "younger_than_4_years": "Opened or reinstated within the past four years.",
    "active": "What was seen fits the registered program type, or a drawback claim was made.",
    "only_export_activity": "Exports were seen in the past four years, and no import.",
    "only_import_activity": "Imports were seen in the past four years, and no export.",
    "mixed_activity": "Imports and exports were both seen, on an account that is registered for one of them.",
    "coverage_incomplete": "A feed on whose silence the change would rest has months missing; they are named.",
    "row_in_quarantine": "A row of the account waits in quarantine, and may be the activity that was not seen.",
    "on_hold": "The register, or a person, holds the account back (an appeal, a legal matter, security posted).",
    "under_review": "An item of the account is under review or in dispute.",
    "balance_not_zero": "The account owes, or is owed, at least one cent.",
    "closure_announced": "Dormant, and the time between the notice and the closure is not over.",
    "undone_by_person": "A person undid this very change, and nothing has been seen since that speaks against it.",
    "unknown_program_type": "The registered program type is none of the three.",
    "unknown_open_date": "Neither an activity nor a day of opening or reinstatement is known.",
}
"""What each reason word means. The word stands in decisions, plans and journal, and never changes its meaning."""

_INTRODUCTION = """\
# Clean-up rules

What the clean-up does with an account, by its registered program type and by what was seen of it in the past four
years. This page is written from `include/config/program_type_rules.csv` by `python -m include.rules_page`; a test fails
when it is not current. The same table is joined by the statement that decides, and the notices and the tests' own
oracle are checked against it.

*None* and *unknown* speak of dormant accounts only: an account that was opened, reinstated or used for a drawback claim
within four years is kept, whatever the cell says. *Unknown* means that nothing was seen where not everything could be
looked at. What may still stop a change, and in which order, says
[record 0031](adr/0031-what-was-seen-and-what-stops-a-change.md).
"""


def render_rules_page(table: RuleTable) -> str:
    """The page as Markdown: the cells as they hold now, every dated row with its source, and the reason words."""
    rules = sorted(
        table.rules,
        key=lambda rule: (
            PROGRAM_TYPES.index(rule.program_type),
            ACTIVITY_SEEN.index(rule.activity_seen),
            rule.valid_from,
        ),
    )
    now = {rule.cell: rule for rule in table.valid_on(date.max)}
    return "\n".join(
        [
            _INTRODUCTION,
            "## The cells\n",
            _row("registered", *(f"seen: {seen}" for seen in ACTIVITY_SEEN)),
            _row(*["---"] * (1 + len(ACTIVITY_SEEN))),
            *(_row(kind, *(_deed(now[kind, seen]) for seen in ACTIVITY_SEEN)) for kind in PROGRAM_TYPES),
            "\n## The rows\n",
            "A cell is changed by a further row with a later day; an earlier month keeps the row of its time.\n",
            _row("rule", "registered", "seen", "what is done", "reason", "valid from", "source"),
            _row(*["---"] * 7),
            *(
                _row(
                    f"`{rule.rule_id}`",
                    rule.program_type,
                    rule.activity_seen,
                    _deed(rule),
                    f"`{rule.reason}`",
                    str(rule.valid_from),
                    rule.source_en,
                )
                for rule in rules
            ),
            "\n## The reasons\n",
            _row("reason", "meaning"),
            _row("---", "---"),
            *(_row(f"`{word}`", meaning) for word, meaning in REASONS.items()),
            "",
        ]
    )


def _deed(rule: Rule) -> str:
    return f"{rule.action} to {rule.new_program_type}" if rule.new_program_type else rule.action


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    PAGE.write_text(render_rules_page(RuleTable.load()), encoding="utf-8")

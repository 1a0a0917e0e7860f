"""One rule table: the SQL joins it, the page is written from it, notices and oracles are checked against it.

Each check is a function of the rules. On the shipped table they all agree; one changed cell moves all four.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from include.program_type_rules import RULES_FILE, Rule, RuleTable, rules_relation
from include.quality.suites import load_suite
from include.rules_page import PAGE, REASONS, render_rules_page
from tests.decide.accounts import AS_OF, decide_by_sql
from tests.decide.cells import account_in, world_of
from tests.decide.oracle import decide
from tests.notices.samples import closure, conversion, pages
from tests.oracle import oracle as brute_force

# What a client who is told of a change must read, by the reason of the rule: in English and in French.
WORDING = {
    "no_activity_4_years": (
        "closed because our records show no activity on it during the past 4 years",
        "fermé parce que nos dossiers n’y montrent aucune activité au cours des 4 dernières années",
    ),
    "only_export_activity": (
        "our records show only exporter type transactions for the account below. It is now registered as an exporter",
        "nos dossiers ne montrent que des transactions de type exportateur pour le compte ci-dessous. "
        "Il est maintenant inscrit comme exportateur",
    ),
    "only_import_activity": (
        "our records show only importer type transactions for the account below. It is now registered as an importer",
        "nos dossiers ne montrent que des transactions de type importateur pour le compte ci-dessous. "
        "Il est maintenant inscrit comme importateur",
    ),
}
Cell = tuple[str, str]


def decided_by_sql(rules: list[Rule]) -> dict[str, tuple[str, str, str]]:
    """What the deciding statement does with an account in each cell: action, reason, new type; by rule id."""
    decided = {}
    for rule in rules:
        account, world = account_in(*rule.cell), world_of(rule.activity_seen)
        (decision,) = decide_by_sql([account], world, rules=rules_relation(rules))
        decided[rule.rule_id] = (decision.action, decision.reason, decision.new_program_type or "")
    return decided


def oracle_faults(rules: list[Rule]) -> list[str]:
    """The rules that one of the two oracles, written from the words of the domain, does not know."""
    faults = []
    for rule in rules:
        said = (rule.action, rule.reason, rule.new_program_type)
        by_clerk = decide(account_in(*rule.cell), world_of(rule.activity_seen))
        seen = {f"last_{what}_on": AS_OF for what in ("import", "export") if rule.activity_seen in (what, "both")}
        by_force = brute_force.decide(
            brute_force.Facts(
                program_type=rule.program_type,
                as_of=AS_OF,
                opened_on=date(2005, 6, 1),
                transactions_covered=rule.activity_seen != "unknown",
                **seen,
            )
        )
        answers = {
            (by_clerk.action, by_clerk.reason, by_clerk.new_program_type or ""),
            (by_force[0], by_force[2], by_force[1] or ""),
        }
        if answers != {said}:
            faults.append(rule.rule_id)
    return faults


def notices_told(rules: list[Rule]) -> dict[str, str]:
    """The notice that an account of each cell gets, by rule id: its subject; none where nothing changes."""
    return {rule.rule_id: texts[0].splitlines()[0] for rule in rules if (texts := _texts(rule))}


def notice_faults(rules: list[Rule]) -> list[str]:
    """The rules whose notice does not give the client the rule's reason, in both languages."""
    return [
        rule.rule_id
        for rule in rules
        for text, phrase in zip(_texts(rule), WORDING.get(rule.reason, ("?", "?")), strict=False)
        if phrase not in " ".join(text.split())
    ]


def _texts(rule: Rule) -> list[str]:
    if rule.action not in ("close", "convert"):
        return []
    notice = (
        closure()
        if rule.action == "close"
        else conversion(program_type=rule.program_type, new_program_type=rule.new_program_type)
    )
    messages = [pages().render(notice, language) for language in ("en", "fr")]
    return [f"{message.subject}\n{message.text.decode()}" for message in messages]


def shipped() -> RuleTable:
    return RuleTable.load()


def with_row(tmp_path: Path, row: str) -> RuleTable:
    """The shipped table with one row more, as a person would change it."""
    path = tmp_path / "rules.csv"
    path.write_text(RULES_FILE.read_text(encoding="utf-8") + row + "\n", encoding="utf-8")
    return RuleTable.load(path)


# The shipped table.


def test_the_statement_decides_each_cell_as_the_table_says() -> None:
    rules = shipped().valid_on(AS_OF)
    said = {rule.rule_id: (rule.action, rule.reason, rule.new_program_type) for rule in rules}
    assert said == decided_by_sql(rules)


def test_both_oracles_know_every_cell() -> None:
    assert [] == oracle_faults(shipped().valid_on(AS_OF))


def test_every_notice_gives_the_reason_of_its_rule_in_both_languages() -> None:
    rules = shipped().valid_on(AS_OF)
    assert [] == notice_faults(rules)
    assert 7 == len(notices_told(rules))
    assert set(WORDING) == {rule.reason for rule in rules if rule.action in ("close", "convert")}


def test_the_page_is_current() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert render_rules_page(shipped()) == page, "write docs/clean-up-rules.md anew: python -m include.rules_page"


def test_every_reason_is_explained_and_known_to_the_gate() -> None:
    known = next(rule for rule in load_suite("account_decisions").rules if rule.name == "reason_is_known")
    assert set(known.kwargs["value_set"]) == set(REASONS)
    assert {rule.reason for rule in shipped().rules} <= set(REASONS)


# A changed cell.


@pytest.mark.parametrize(
    ("row", "rule_id", "told", "is_told_wrongly", "matrix_cell"),
    [
        (
            "dual_export,dual,export,review,,mixed_activity,2021-12-01,A decision of the programme.",
            "dual_export",
            None,
            False,
            "review",
        ),
        (
            "exporter_import,exporter,import,keep,,active,2021-12-01,A decision of the programme.",
            "exporter_import",
            None,
            False,
            "keep",
        ),
        (
            "importer_none,importer,none,close,,silent_for_long,2021-12-01,A decision of the programme.",
            "importer_none",
            "Your import/export (RM) account was closed on 2021-12-25",
            True,
            "close",
        ),
    ],
)
def test_a_changed_cell_changes_decision_page_notice_and_oracle_check(
    tmp_path: Path, row: str, rule_id: str, told: str | None, is_told_wrongly: bool, matrix_cell: str
) -> None:
    before, after = shipped().valid_on(AS_OF), with_row(tmp_path, row).valid_on(AS_OF)
    (new,) = [rule for rule in after if rule.rule_id == rule_id]

    sql_before, sql_after = decided_by_sql(before), decided_by_sql(after)
    assert {rule_id} == {name for name in sql_before if sql_before[name] != sql_after[name]}
    assert (new.action, new.reason, new.new_program_type) == sql_after[rule_id]

    page = render_rules_page(with_row(tmp_path, row))
    assert page != render_rules_page(shipped())
    assert f"`{new.reason}` | 2021-12-01 | A decision of the programme. |" in page
    matrix = next(line for line in page.splitlines() if line.startswith(f"| {new.program_type} |"))
    seen = ("none", "import", "export", "both", "unknown").index(new.activity_seen)
    assert matrix_cell == matrix.split(" | ")[1 + seen].strip("| ")

    assert told == notices_told(after).get(rule_id)
    assert ({rule_id} if is_told_wrongly else set()) == set(notice_faults(after))
    assert (notices_told(before) == notices_told(after)) == (
        rule_id in notices_told(after) or rule_id == "importer_import"
    )

    assert [rule_id] == oracle_faults(after)


def test_a_changed_cell_leaves_the_months_before_it_as_they_were(tmp_path: Path) -> None:
    row = "dual_export,dual,export,review,,mixed_activity,2021-12-25,A decision of the programme."
    assert decided_by_sql(shipped().valid_on(AS_OF)) == decided_by_sql(with_row(tmp_path, row).valid_on(AS_OF))

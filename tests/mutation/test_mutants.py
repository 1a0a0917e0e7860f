"""The tool that makes mutants and judges them."""

from __future__ import annotations

import colorsys
import os
import signal
import subprocess
import sys
from pathlib import Path
from time import sleep

import pytest

from tests.mutation import python_mutants, rule_mutants, sql_mutants
from tests.mutation.by_tests import PROJECT, judge_module
from tests.mutation.mutant import Mutant, Outcome
from tests.mutation.report import Explanation, Result, read_explanations, write
from tests.mutation.subjects import SUBJECTS, Subject
from tests.mutation.trial import BrokenJudge, judge_all


def written_as(mutants: list[Mutant]) -> list[str]:
    return [mutant.text for mutant in mutants]


# SQL.


@pytest.mark.parametrize(
    ("statement", "mutated"),
    [
        ("SELECT a FROM t WHERE b < 3", {"b <= 3", "b < 4", ""}),
        ("SELECT a FROM t WHERE b >= 0", {"b > 0", "b >= 1", ""}),
        ("SELECT a FROM t WHERE b = 'x' OR b = 'y'", {"b = 'y' OR b = 'y'", "b = 'x' OR b = 'x'"}),
        ("SELECT a FROM t WHERE b AND c", {"((b) OR (c))", "(b)", "(c)", ""}),
        ("SELECT a FROM t WHERE NOT b", {"(b)", ""}),
        ("SELECT a FROM t WHERE b IS NULL", {"NOT (b IS NULL)", ""}),
        ("SELECT a FROM t WHERE b IN ('x', 'y')", {"b IN ('x')", "b IN ('y')", "NOT (b IN ('x', 'y'))"}),
        ("SELECT a FROM t WHERE b BETWEEN 1 AND c", {"(b > 1 AND b <= c)", "(b >= 1 AND b < c)"}),
        ("SELECT a FROM t WHERE b IS DISTINCT FROM c", {"b IS NOT DISTINCT FROM c", "b <> c"}),
        ("SELECT a FROM t WHERE COALESCE(b, TRUE)", {"(b)", "COALESCE(b, FALSE)", ""}),
        ("SELECT a FROM t WHERE b_on < $c AND d_on < $e", {"d_on < $c AND d_on < $e", "b_on < $e AND d_on < $e"}),
    ],
)
def test_a_condition_is_changed_in_each_way(statement: str, mutated: set[str]) -> None:
    texts = {text.split(" WHERE ")[1] if " WHERE " in text else "" for text in written_as(sql("t", statement))}
    assert mutated <= texts


@pytest.mark.parametrize(
    ("selected", "mutated"),
    [
        (
            "CASE WHEN b THEN 'x' WHEN c THEN 'y' ELSE 'z' END",
            {
                "CASE WHEN c THEN 'y' ELSE 'z' END",
                "CASE WHEN b THEN 'x' ELSE 'z' END",
                "CASE WHEN c THEN 'y' WHEN b THEN 'x' ELSE 'z' END",
                "CASE WHEN TRUE THEN 'x' WHEN c THEN 'y' ELSE 'z' END",
                "CASE WHEN b THEN 'x' WHEN TRUE THEN 'y' ELSE 'z' END",
                "CASE WHEN b THEN 'x' WHEN c THEN 'y' END",
                "CASE WHEN b THEN 'y' WHEN c THEN 'y' ELSE 'z' END",
            },
        ),
        ("CASE WHEN b THEN NULL WHEN c THEN 'y' END", {"CASE WHEN b THEN 'y' WHEN c THEN 'y' END"}),
        ("GREATEST(b, c, d)", {"GREATEST(c, d)", "GREATEST(b, d)", "GREATEST(b, c)", "LEAST(b, c, d)"}),
        ("COUNT(*) FILTER(WHERE b)", {"COUNT(*)"}),
        ("MAX(b)", {"MIN(b)"}),
        ("BOOL_AND(b)", {"BOOL_OR(CAST(b AS BOOLEAN))"}),
    ],
)
def test_a_value_is_changed_in_each_way(selected: str, mutated: set[str]) -> None:
    texts = written_as(sql("t", f"SELECT {selected} AS a FROM t"))
    assert mutated <= {text.removeprefix("SELECT ").removesuffix(" AS a FROM t") for text in texts}


@pytest.mark.parametrize(
    ("statement", "mutated"),
    [
        ("SELECT a FROM t JOIN u ON a = b", "SELECT a FROM t LEFT JOIN u ON a = b"),
        ("SELECT a FROM t LEFT JOIN u ON a = b", "SELECT a FROM t INNER JOIN u ON a = b"),
        ("SELECT a FROM t UNION ALL SELECT b FROM u", "SELECT a FROM t UNION SELECT b FROM u"),
        ("SELECT a FROM t UNION ALL SELECT b FROM u", "SELECT b FROM u"),
        ("SELECT a, b FROM t ORDER BY a, b", "SELECT a, b FROM t ORDER BY a"),
        ("SELECT a, b FROM t ORDER BY a, b", "SELECT a, b FROM t"),
        ("SELECT a_on, b_on FROM t", "SELECT b_on AS a_on, b_on FROM t"),
        ("SELECT DISTINCT a FROM t", "SELECT a FROM t"),
        (
            "WITH u AS (SELECT a FROM t WHERE b = $c) SELECT a FROM u",
            "WITH u AS (SELECT a FROM t), unread AS (SELECT $c) SELECT a FROM u",
        ),
    ],
)
def test_what_is_read_is_changed(statement: str, mutated: str) -> None:
    assert mutated in written_as(sql("t", statement))


def sql(subject: str, statement: str) -> list[Mutant]:
    return list(sql_mutants.mutants_of(subject, statement))


# Python.


@pytest.mark.parametrize(
    ("source", "mutated"),
    [
        ("x = a < b", {"x = a <= b"}),
        ("x = a and b", {"x = a or b", "x = a", "x = b"}),
        ("x = not a", {"x = a"}),
        ("x = b if a else c", {"x = b if not a else c", "x = b", "x = c"}),
        ("x = 1", {"x = 2", "x = 0"}),
        ("x = True", {"x = False"}),
        ("x = 'word'", {"x = 'no word'"}),
        ("x = a + b", {"x = a - b"}),
        ("x = (a, b)", {"x = (a,)", "x = (b,)"}),
        ("x = {a: b, c: d}", {"x = {a: b}", "x = {c: d}"}),
        ("x = [a for a in b if c]", {"x = [a for a in b]"}),
        ("x = max(a, key=b)", {"x = min(a, key=b)", "x = max(a)"}),
        ("def f():\n    return a", {"def f():\n    return None"}),
        ("def f():\n    raise a('b')", {"def f():\n    pass"}),
        ("def f():\n    a()", {"def f():\n    pass"}),
    ],
)
def test_a_module_is_changed_in_each_way(source: str, mutated: set[str]) -> None:
    assert mutated == set(written_as(list(python_mutants.mutants_of("m", source))))


@pytest.mark.parametrize(
    "source",
    [
        "import a",
        "def f(a: int=b) -> c:\n    'word'",
        "x: Literal['word']",
        "@d(frozen=True)\nclass A:\n    pass",
        "x = f'{a} word'",
        "x = A(b=c)",
    ],
)
def test_what_is_no_behaviour_is_left_alone(source: str) -> None:
    assert [] == list(python_mutants.mutants_of("m", source))


# The rule table.


def test_every_cell_gets_every_other_action_type_and_reason() -> None:
    subject = SUBJECTS[0]
    changes = {(mutant.place, mutant.operator, mutant.after) for mutant in subject.mutants()}
    assert {("dual_none", "another action", action) for action in ("convert", "keep", "review", "unknown")} <= changes
    assert ("dual_none", "another new type", "convert, exporter") in changes
    assert ("dual_none", "another reason", "active") in changes
    assert ("dual_none", "row dropped", "") in changes


def test_the_table_unchanged_is_no_mutant_of_itself() -> None:
    text = SUBJECTS[0].text
    assert rule_mutants.written(text) not in written_as(list(rule_mutants.mutants_of("t", text)))


# Names.


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.path)
def test_every_mutant_has_a_name_of_its_own_and_is_not_the_original(subject: object) -> None:
    mutants = subject.mutants()  # type: ignore[attr-defined]
    original = subject.original().text  # type: ignore[attr-defined]
    assert len(mutants) > 20
    assert len(mutants) == len({mutant.key for mutant in mutants}) == len({mutant.text for mutant in mutants})
    assert original not in {mutant.text for mutant in mutants}


def test_the_same_change_at_two_spots_has_two_names() -> None:
    (first, second) = (m for m in sql("t", "SELECT NOT a AND NOT a FROM t") if m.operator == "NOT dropped")
    assert first.key + " (no. 2)" == second.key


def test_every_explanation_is_about_a_mutant_that_is_made() -> None:
    mutants = [mutant for subject in SUBJECTS for mutant in subject.mutants()]
    unused = [one.mutants for one in read_explanations() if not any(one.fits(mutant) for mutant in mutants)]
    assert [] == unused, "this part of the rules has changed: run make mutants and look at what survives now"


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("t | p | o: a(*) -> b", True),
        ("t | p | *", True),
        ("t | p | o: a -> b", False),
        ("t | p", False),
        ("t . p | *", False),
    ],
)
def test_an_explanation_names_mutants_with_stars(pattern: str, fits: bool) -> None:
    assert fits == Explanation(pattern, "").fits(Mutant("t", "p", "o", "a(*)", "b", ""))


# Trials.


def a_mutant(text: str = "") -> Mutant:
    return Mutant("t", "p", "o", "a", "b", text)


def by_its_text(mutant: Mutant, folder: Path) -> Outcome:
    if mutant.text == "crashes":
        os.kill(os.getpid(), signal.SIGKILL)
    if mutant.text == "waits":
        sleep(600)
    if mutant.text == "breaks the judge":
        raise LookupError("nothing there")
    if mutant.text == "speaks":
        os.write(1, b"a word")
    (folder / "written").write_text(mutant.text)
    assert [folder / "written"] == list(folder.iterdir())
    return Outcome(mutant.text) if mutant.text in list(Outcome) else Outcome.SURVIVED


@pytest.mark.parametrize("jobs", [1, 3])
def test_each_mutant_is_judged_in_a_process_and_a_folder_of_its_own(jobs: int) -> None:
    mutants = [a_mutant(text) for text in ("killed", "survived", "stillborn", "killed", "survived")]
    trials = list(judge_all(mutants, by_its_text, jobs=jobs))
    assert sorted(mutants, key=id) == sorted((trial.mutant for trial in trials), key=id)
    assert all(trial.outcome == trial.mutant.text for trial in trials)


def test_one_that_crashes_or_never_ends_is_killed() -> None:
    trials = judge_all([a_mutant("crashes"), a_mutant("waits")], by_its_text, seconds=0.5)
    assert [Outcome.KILLED, Outcome.KILLED] == [trial.outcome for trial in trials]


def test_what_a_trial_says_is_kept_and_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    (trial,) = judge_all([a_mutant("speaks")], by_its_text)
    assert ("a word", ("", "")) == (trial.said, tuple(capfd.readouterr()))


def test_a_judge_that_fails_is_no_verdict() -> None:
    with pytest.raises(BrokenJudge, match="nothing there"):
        list(judge_all([a_mutant("breaks the judge")], by_its_text))


def test_a_folder_in_the_project_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest empties the folder that it is given: once it was that of the tests."""
    # Judged in this process, the mutant would stay where every later test finds it.
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    monkeypatch.setitem(sys.modules, "colorsys", colorsys)
    monkeypatch.delitem(sys.modules, "colorsys")
    with pytest.raises(RuntimeError, match="tests would be deleted"):
        judge_module("colorsys", [])(a_mutant("pass"), PROJECT / "tests" / "mutation")


# The whole.


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--only", "rules.csv", "--match", "importer_none | another action: close -> keep"], 0, "1 of 1 mutants"),
        (["--only", "rules.csv", "--match", "importer_none | another action: close -> keep", "--list"], 0, "-> keep"),
        (["--only", "policy.py", "--match", "is_exceeded | and and or exchanged"], 0, "1 of 1 mutants"),
        (["--match", "is_exceeded", "--write"], 2, "leave out --match"),
    ],
)
def test_the_tests_kill_a_mutant_that_takes_the_place_of_the_original(words: list[str], code: int, says: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.mutation", "--jobs", "1", *words], cwd=PROJECT, capture_output=True, text=True
    )
    assert code == done.returncode, done.stdout + done.stderr
    assert says in done.stdout + done.stderr


def test_the_score_of_one_file_leaves_that_of_the_others_as_it_stands(tmp_path: Path) -> None:
    first, second = SUBJECTS[1], SUBJECTS[2]
    document = tmp_path / "score.md"
    document.write_text("before\n<!-- score: written by make mutants -->\n<!-- end of the score -->\nafter\n")
    paths = [one.path for one in SUBJECTS]

    def result(subject: Subject, killed: int, explained: int, unexplained: int) -> Result:
        mutant = Mutant(subject.name, "where", "x -> y | z", "", "", "")
        why = Explanation("*", "It does what the original does.")
        return Result(
            subject, {Outcome.KILLED: killed}, [(mutant, why)] * explained, unexplained=[mutant] * unexplained
        )

    write([result(second, 10, 2, 0), result(first, 5, 0, 5)], paths, document)
    both = document.read_text(encoding="utf-8")
    assert "15 of 20 mutants are killed (75.0 %); 2 more do what the original does" in both
    assert both.index(f"`{first.path}`") < both.index(f"`{second.path}`")
    assert f"### `{second.path}`\n\n- It does what" in both
    write([result(first, 1_000, 1, 0)], paths, document)
    now = document.read_text(encoding="utf-8")
    assert "1,010 of 1,010 mutants are killed (100.0 %); 3 more do what the original does" in now
    assert f"### `{first.path}`\n\n- It does what" in now
    assert f"### `{second.path}`\n\n- It does what" in now
    write([result(first, 5, 0, 5)], paths, document)
    assert document.read_text(encoding="utf-8") == both

"""What is mutated, and what must notice.

A mutant first meets the judge that costs least. Who survives it meets the tests; who survives them survives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from tests.mutation import by_tests, python_mutants, rule_mutants, sql_mutants
from tests.mutation.by_tests import PROJECT
from tests.mutation.mutant import Mutant
from tests.mutation.trial import Judge


@dataclass(frozen=True)
class Subject:
    """A file of the project: how its mutants are made, and the judges that they meet one after the other."""

    path: str
    mutants_of: Callable[[str, str], Iterator[Mutant]]
    original_of: Callable[[str], str]
    judges: tuple[Callable[[], Judge], ...]

    @property
    def name(self) -> str:
        return self.path.removeprefix("include/")

    @property
    def text(self) -> str:
        return (PROJECT / self.path).read_text(encoding="utf-8")

    def mutants(self) -> list[Mutant]:
        return list(self.mutants_of(self.name, self.text))

    def original(self) -> Mutant:
        """The unchanged text in the shape of a mutant: every judge must let it live."""
        return Mutant(self.name, "", "nothing changed", "", "", self.original_of(self.text))


def module(path: str, *tests: str) -> Subject:
    name = path.removesuffix(".py").replace("/", ".")
    return Subject(path, python_mutants.mutants_of, str, (partial(by_tests.judge_module, name, tests),))


def statement(name: str, corpus: Callable[[], Judge], *tests: str) -> Subject:
    judges = (corpus, partial(by_tests.judge_statement, name, tests))
    return Subject(f"include/sql/{name}.sql", sql_mutants.mutants_of, sql_mutants.rendered, judges)


def table(name: str, *rounds: tuple[str, ...]) -> Subject:
    """``rounds``: files of tests that a mutant meets together."""
    judges = tuple(partial(by_tests.judge_configuration, name, tests) for tests in rounds)
    return Subject(f"include/config/{name}", rule_mutants.mutants_of, rule_mutants.written, judges)


def _by_accounts() -> Judge:
    from tests.mutation.by_corpus import judge_statement
    from tests.mutation.corpus import build_corpus

    return judge_statement("derive_account_decisions", build_corpus())


def _by_wrong_decisions() -> Judge:
    from tests.mutation.by_corpus import judge_statement
    from tests.mutation.wrong_decisions import build_wrong_decisions

    return judge_statement("check_account_decisions", build_wrong_decisions())


DECIDE = "tests/decide"
FOUND = f"{DECIDE}/test_found_by_mutation.py"

# The statements come last: their corpora import the project, and a module that is imported cannot be replaced.
SUBJECTS = (
    table(
        "program_type_rules.csv",
        (f"{DECIDE}/test_program_type_rules.py",),
        (f"{DECIDE}/test_one_rule_table.py", f"{DECIDE}/test_boundaries.py", FOUND),
    ),
    module("include/program_type_rules.py", f"{DECIDE}/test_program_type_rules.py", FOUND),
    module("include/carm/policy.py", "tests/carm/test_policy.py", FOUND),
    module("include/coverage.py", f"{DECIDE}/test_coverage.py", FOUND),
    module("include/person_records.py", f"{DECIDE}/test_person_records.py"),
    module("include/breaker.py", f"{DECIDE}/test_breaker.py"),
    module("include/plan.py", f"{DECIDE}/test_plan.py"),
    statement(
        "derive_account_decisions",
        _by_accounts,
        FOUND,
        f"{DECIDE}/test_boundaries.py",
        f"{DECIDE}/test_account_decisions.py",
    ),
    statement("check_account_decisions", _by_wrong_decisions, FOUND, f"{DECIDE}/test_decision_checks.py"),
)

"""The corpora that mutants of the decision's SQL are held against: the original must pass them whole."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest

from include import engine
from tests.mutation.by_corpus import run
from tests.mutation.corpus import MONTHS, RANDOM_ACCOUNTS, build_corpus
from tests.mutation.wrong_decisions import build_wrong_decisions


def differing(expected: pa.Table, found: pa.Table) -> list[tuple[object, object]]:
    rows = zip(expected.to_pylist(), found.to_pylist(), strict=False)
    return [] if expected.equals(found) else [pair for pair in rows if pair[0] != pair[1]][:2] or [(expected, found)]


@pytest.fixture(scope="module")
def con():
    with engine.connect() as con:
        yield con


def test_every_account_of_the_corpus_is_decided_with_its_evidence_as_it_should_be(con) -> None:
    cases = build_corpus()
    for case in cases:
        assert [] == differing(case.expected, run(con, "derive_account_decisions", case)), case.month.name
    assert len(MONTHS) * RANDOM_ACCOUNTS > 10_000
    actions = Counter(action for case in cases for action in case.expected["action"].to_pylist())
    assert {"close", "candidate", "convert", "keep", "review", "hold", "unknown"} == set(actions)
    assert min(actions.values()) > 200


def test_every_wrong_decision_is_found_and_no_right_one_accused(con) -> None:
    cases = build_wrong_decisions()
    for case in cases:
        assert [] == differing(case.expected, run(con, "check_account_decisions", case)), case.month.name
    problems = Counter(problem for case in cases for problem in case.expected["problem"].to_pylist())
    assert 14 == len(problems)
    assert min(problems.values()) > 50

"""A judge that runs a mutated statement over a corpus and holds its rows against those that must come out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from include import engine
from tests.decide.accounts import parameters_of
from tests.mutation.corpus import Case
from tests.mutation.mutant import Mutant, Outcome
from tests.mutation.trial import Judge


def judge_statement(name: str, cases: Sequence[Case]) -> Judge:
    """A judge of mutants of ``include/sql/<name>.sql``: killed by the first case whose rows are not those expected."""

    def judge(mutant: Mutant, _: Path) -> Outcome:
        load = engine.load_statement
        engine.load_statement = lambda wanted: mutant.text if wanted == name else load(wanted)
        with engine.connect(threads=1) as con:
            try:
                run(con, name, _emptied(cases[0]))
            except duckdb.Error:
                return Outcome.STILLBORN
            for case in cases:
                try:
                    found = run(con, name, case)
                except (duckdb.Error, pa.ArrowException):
                    return Outcome.KILLED
                if not found.equals(case.expected):
                    return Outcome.KILLED
        return Outcome.SURVIVED

    return judge


def run(con: duckdb.DuckDBPyConnection, name: str, case: Case) -> pa.Table:
    """The rows that the statement writes in ``case``, typed as they are expected."""
    found = engine.run_table(con, name, case.relations, parameters_of(case.month.world))
    return found.cast(case.expected.schema)


def _emptied(case: Case) -> Case:
    """The case without any row: whatever cannot run even then cannot run at all."""
    relations = {name: relation.slice(0, 0) for name, relation in case.relations.items()}
    return Case(case.month, relations, case.expected.slice(0, 0))

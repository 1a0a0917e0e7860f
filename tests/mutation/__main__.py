"""``make mutants``: changes the decision's rules in a thousand small ways and looks whether the tests notice each.

Ends with 1 where a mutant survives that ``tests/mutation/equivalent.yaml`` does not explain, or where it explains one
that does not survive.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from time import monotonic

from tests.mutation import by_tests, report
from tests.mutation.mutant import Mutant, Outcome
from tests.mutation.subjects import SUBJECTS, Subject
from tests.mutation.trial import judge_all

SECONDS_OF_THE_ORIGINAL = 300
SECONDS = 60
"""What takes longer than this waits for ever: the tests of the original take a few."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge what the command line asks for; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="FILE", help="files whose path has this in it")
    parser.add_argument("--match", default="", metavar="TEXT", help="mutants whose name has this in it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="trials at a time")
    parser.add_argument("--list", action="store_true", help="names the mutants and judges none")
    parser.add_argument("--write", action="store_true", help="puts their score into docs/mutation-testing.md")
    options = parser.parse_args(arguments)
    is_whole = not options.only and not options.match
    if options.write and options.match:
        parser.error("the score is that of whole files: leave out --match, or --write")

    subjects = [one for one in SUBJECTS if is_whole or not options.only or any(w in one.path for w in options.only)]
    chosen = {one.path: [mutant for mutant in one.mutants() if options.match in mutant.key] for one in subjects}
    if options.list:
        for mutants in chosen.values():
            for mutant in mutants:
                say(mutant.key)
        return 0
    started = monotonic()
    by_tests.prepare()
    explanations = report.read_explanations()
    results = [judge(one, chosen[one.path], explanations, options.jobs) for one in subjects if chosen[one.path]]
    stale = report.unfitting(results, explanations) if not options.match else []
    for explanation in stale:
        say(f"does not survive, or is not made any more: take it out of equivalent.yaml: {explanation.mutants}")
    say(f"{report.score(results)}; {monotonic() - started:.0f} seconds")
    if options.write:
        report.write(results, [one.path for one in SUBJECTS])
    return 1 if stale or any(one.unexplained for one in results) else 0


def judge(
    subject: Subject, mutants: Sequence[Mutant], explanations: Sequence[report.Explanation], jobs: int
) -> report.Result:
    """Put ``mutants`` before the judges of ``subject``, and tell of each that survives without an explanation."""
    started = monotonic()
    result = report.Result(subject)
    left = list(mutants)
    for number, make in enumerate(subject.judges, start=1):
        if not left:
            break
        judge_one = make()
        (trial,) = judge_all([subject.original()], judge_one, seconds=SECONDS_OF_THE_ORIGINAL)
        if trial.outcome is not Outcome.SURVIVED:
            raise SystemExit(f"{subject.path} does not pass as it is:\n{trial.said[-3000:]}")
        alive = []
        for trial in judge_all(left, judge_one, jobs=jobs, seconds=SECONDS):
            is_explained = any(one.fits(trial.mutant) for one in explanations)
            # Who does what the original does would go through every test to its end.
            if trial.outcome is Outcome.SURVIVED and number < len(subject.judges) and not is_explained:
                alive.append(trial.mutant)
            elif not result.take(trial.mutant, trial.outcome, explanations):
                say(f"survived: {trial.mutant.key}")
        left = alive
        if alive:
            say(f"{subject.path}: {len(alive)} of {len(mutants)} meet the next judge")
    numbers = ", ".join(f"{number} {outcome}" for outcome, number in result.outcomes.items())
    say(f"{subject.path}: {numbers}; {monotonic() - started:.0f} seconds")
    return result


def say(text: str) -> None:
    """A line for the person who waits."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())

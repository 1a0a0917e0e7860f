"""``python -m bench --profile small``: measures each stage beside what people would use instead, and beside its floor.

Seconds say something of one machine on one day; what is promised are ratios of things that were measured in turns in
the same run, as medians. Results go to ``bench/results.json`` and the tables of ``docs/performance.md``. A promise that
is not kept ends with exit code 1, but for the small profile: there what each call costs rules, and a busy machine would
fail; it proves that all ways come to the same.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bench import (
    airflow_step,
    apply_step,
    decision_step,
    documents_step,
    extract_step,
    growth_step,
    lines_step,
    notices_step,
    page_step,
    pdf_step,
    portal_step,
    transform_step,
    validate_step,
)
from bench.measure import PROFILES, Stage
from bench.report import cpu_model, lines, machine, write_page, write_results
from bench.world import make_world

STAGES = {
    "extract": extract_step.measure,
    "validate": validate_step.measure,
    "transforms": transform_step.measure,
    "decisions": decision_step.measure,
    "apply": apply_step.measure,
    "lines": lines_step.measure,
    "growth": growth_step.measure,
    "documents": documents_step.measure,
    "html": page_step.measure,
    "pdf": pdf_step.measure,
    "notices": notices_step.measure,
    "portal": portal_step.measure,
    "month": airflow_step.measure,
    "month-pdf": airflow_step.measure_with_pdf,
}


def main() -> int:
    """Measure what the command line asks for; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--profile", default="small", choices=PROFILES, help="how large the data are")
    parser.add_argument("--only", choices=STAGES, action="append", help="measure this alone; may be repeated")
    parser.add_argument("--rounds", type=int, help="how often each way is measured")
    parser.add_argument("--keep", action="store_true", help="write no result: to try something out")
    options = parser.parse_args()
    profile = PROFILES[options.profile]
    rounds = options.rounds or profile.rounds
    size = f"{profile.accounts:,} accounts, {profile.postings:,} postings a month, {profile.months} months"
    say(f"profile {profile.name}: {size}, on {machine()}, {cpu_model()}")
    world = make_world(profile, say)
    found: list[Stage] = []
    for name, measure in STAGES.items():
        if options.only and name not in options.only:
            continue
        say(f"{name} …")
        with tempfile.TemporaryDirectory(prefix="carm-bench-") as folder:
            stages = measure(world, Path(folder), rounds, say)
        found += stages
        if not options.keep:
            # At once, for the next one may take an hour and end badly.
            write_results(profile, stages, world=world.folder.name.rpartition("-")[2])
            write_page()
    for line in lines(found):
        sys.stdout.write(f"{line}\n")
    missed = [words for stage in found for words in stage.missed if profile.name != "small"]
    for words in missed:
        say(f"not kept: {words}")
    return 1 if missed else 0


def say(text: str) -> None:
    """Tell a person who waits how far it is."""
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    raise SystemExit(main())

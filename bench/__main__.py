"""``python -m bench --profile small``: runs the benchmarks, prints them as a table, and writes ``bench/results.json``.

Seconds say something of one machine on one day; what is promised are the ratios between two things that were measured
in turns in the same run. A ratio over its target ends with exit code 1.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from bench import apply_step, decision_step, lines_step, page_step, pdf_step
from bench.measure import PROFILES, Measurement, Profile

RESULTS = Path(__file__).parent / "results.json"
BENCHMARKS = {
    "decision step": decision_step.measure,
    "apply": apply_step.measure,
    "lines and balances": lines_step.measure,
    "HTML": page_step.measure,
    "PDF": pdf_step.measure,
}


def main() -> int:
    """Measure what the command line asks for; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--profile", default="small", choices=sorted(PROFILES), help="how large the data are")
    parser.add_argument("--only", choices=BENCHMARKS, help="measure this alone, and keep what is on file of the others")
    parser.add_argument("--rounds", type=int, default=5, help="how often each thing is measured")
    options = parser.parse_args()
    profile = PROFILES[options.profile]
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    size = f"{profile.accounts:,} accounts, {profile.months} months, {profile.changes:,} changes"
    say(f"profile {profile.name}: {size}, on {machine}")
    found: list[Measurement] = []
    for name, measure in BENCHMARKS.items():
        if options.only not in (None, name):
            continue
        say(f"{name} …")
        with tempfile.TemporaryDirectory(prefix="carm-bench-") as folder:
            found += measure(Path(folder), profile, options.rounds, say)
    for line in table(found):
        sys.stdout.write(f"{line}\n")
    write_results(profile, machine, found)
    return 1 if any(measurement.is_missed for measurement in found) else 0


def say(text: str) -> None:
    """Tell a person who waits how far it is."""
    sys.stderr.write(f"{text}\n")


def table(found: list[Measurement]) -> list[str]:
    """The measurements as lines for a terminal."""
    lines = [f"{'stage':<34}{'seconds':>9}  {'beside':<44}{'seconds':>9}{'ratio':>8}{'target':>9}"]
    for row in found:
        target = f"<= {row.target:g}" if row.target is not None else ""
        lines.append(
            f"{row.stage:<34}{row.seconds:>9.2f}  {row.floor:<44}{row.floor_seconds:>9.2f}{row.ratio:>8.2f}{target:>9}"
            + ("  MISSED" if row.is_missed else "")
        )
    return lines


def write_results(profile: Profile, machine: str, found: list[Measurement]) -> None:
    """Put this profile's results into the file, beside those of the other profiles, and of stages not measured now."""
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    measured = {row.stage for row in found}
    kept = [row for row in results.get(profile.name, {}).get("measurements", []) if row["stage"] not in measured]
    results[profile.name] = {
        "accounts": profile.accounts,
        "months": profile.months,
        "changes": profile.changes,
        "machine": machine,
        "measurements": [*kept, *({**asdict(row), "ratio": round(row.ratio, 2)} for row in found)],
    }
    RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())

"""``docs/data-quality.md``, written from the suites: ``python -m include.quality.catalogue`` writes it anew."""

from __future__ import annotations

from pathlib import Path

from include.quality.data_docs import describe, describe_consequence
from include.quality.suites import DATASETS, REASONS, Suite, load_suite

CATALOGUE = Path(__file__).resolve().parents[2] / "docs" / "data-quality.md"

_INTRODUCTION = """\
# Data quality

Every rule that a row has to pass, and why. This page is written from the suites in `expectations/` by
`python -m include.quality.catalogue`; a test fails when it is not current.

Great Expectations judges at two gates. **Gate 1** stands behind extraction: transactions, export declarations,
accounts, delegations, subscribers and webinars. **Gate 2** stands before anything is applied or issued: account
decisions and statements. What a failing row brings about stands beside each rule:

- **quarantine: reason** (critical, about a row). The row is set apart with its key, the rule and the reason; the
  others go on. A row that fails several rules stands under the first of them in the order below.
- **stops the month** (critical, about the table). Nothing is published, applied or issued. All rules of gate 2 are of
  this kind: a wrong decision or statement is a fault of the software, not of a row.
- **counted** (warning) and **shown here only** (info). The row goes on.

A rule about a value says nothing of an empty one unless it says "is present": that is a rule of its own. A rule that
cannot be evaluated is an error and never a pass. What only the whole month can tell (copies of a key, overlapping
versions, whether the account exists) is gathered in SQL into helper columns, and a rule asserts the answer.

The reasons under which a row stands in quarantine: {reasons}.
"""


def render_catalogue() -> str:
    """The page as Markdown: one table a dataset, in the order in which the gates and the rules are asked."""
    reasons = ", ".join(f"`{reason}`" for reason in REASONS)
    return "\n".join(
        [_INTRODUCTION.format(reasons=reasons), *(_render_suite(load_suite(dataset)) for dataset in DATASETS)]
    )


def _render_suite(suite: Suite) -> str:
    lines = [
        f"## {suite.dataset}",
        "",
        suite.about,
        "",
        "| rule | what it asks | severity | a failing row | why |",
        "|---|---|---|---|---|",
    ]
    for rule in (suite.header, *suite.rules):
        cells = (
            f"`{rule.name}`",
            f"`{describe(rule)}`",
            rule.severity,
            describe_consequence(rule),
            rule.why,
        )
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    CATALOGUE.parent.mkdir(parents=True, exist_ok=True)
    CATALOGUE.write_text(render_catalogue(), encoding="utf-8")

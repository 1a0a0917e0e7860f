"""The Data Docs: what the gates found in each run, as pages that open from the disk.

Great Expectations' own pages load styles and scripts from six hosts on the Internet, so they are neither private nor
readable offline (docs/adr/0061). These are written from the same results: no script, no host, and only names of
rules and counts. The rows themselves stand in the quarantine, which its owner alone can read.

``FOLDER/index.html`` lists the runs, ``FOLDER/<run>/<dataset>.html`` is a page, and the ``.json`` beside it is what the
page and the index were made of. The same results give the same bytes.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.carm.errors import DataError
from include.quality.suites import DATASETS, Rule, Suite

if TYPE_CHECKING:
    import jinja2

_TEMPLATES = Path(__file__).parent / "templates"
_RUN_FOLDER = re.compile(r"[A-Za-z0-9._=+:-]+")


def publish_page(
    folder: Path, run_name: str, suite: Suite, *, missing: Sequence[str], counts: Mapping[str, int], evaluated_rows: int
) -> Path:
    """Write the page of one suite in one run, and the index anew; returns the page.

    ``counts`` gives the failing rows by rule name, ``missing`` the columns that were not there (then nothing was
    judged). Raises ``DataError`` for a run name that cannot be a folder.
    """
    if not _RUN_FOLDER.fullmatch(run_name) or run_name.strip(".") == "":
        raise DataError(f"'{run_name}' cannot name a folder of the Data Docs: use letters, digits and . _ = + : -")
    facts = _gather_facts(run_name, suite, missing, counts, evaluated_rows)
    environment = _open_templates()
    run_folder = folder / run_name
    for each in (folder, run_folder):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
    page = run_folder / f"{suite.dataset}.html"
    with _locked(folder):
        _write(run_folder / f"{suite.dataset}.json", json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
        _write(page, environment.get_template("suite.html.j2").render(facts=facts))
        runs = _list_runs(folder)
        _write(folder / "index.html", environment.get_template("index.html.j2").render(runs=runs))
    return page


def _gather_facts(
    run_name: str, suite: Suite, missing: Sequence[str], counts: Mapping[str, int], evaluated_rows: int
) -> dict[str, Any]:
    rules = [
        {
            "name": rule.name,
            "says": describe(rule),
            "severity": rule.severity,
            "consequence": describe_consequence(rule),
            "why": rule.why,
            "failed_rows": len(missing) if rule is suite.header else counts[rule.name],
            "state": _state(rule, bool(missing) if rule is suite.header else counts[rule.name] > 0, bool(missing)),
        }
        for rule in (suite.header, *suite.rules)
    ]
    states = [rule["state"] for rule in rules]
    return {
        "run": run_name,
        "dataset": suite.dataset,
        "about": suite.about,
        "evaluated_rows": evaluated_rows,
        "missing_columns": list(missing),
        "state": next((state for state in ("stopped", "set apart", "noted") if state in states), "passed"),
        "rules": rules,
    }


def _state(rule: Rule, has_failed: bool, is_header_broken: bool) -> str:
    if not has_failed:
        return "not judged" if is_header_broken else "passed"
    if rule.is_stopping:
        return "stopped"
    return "set apart" if rule.is_quarantining else "noted"


def describe_consequence(rule: Rule) -> str:
    """What a failing row brings about, in words."""
    if rule.is_stopping:
        return "stops the month"
    if rule.is_quarantining:
        return f"quarantine: {rule.reason}"
    return "counted" if rule.severity == "warning" else "shown here only"


def describe(rule: Rule) -> str:
    """The rule in words, from its type and arguments; the one place where an argument is put into a sentence."""
    kwargs = rule.kwargs
    sentence = _SENTENCES[rule.type].format_map({key: _show(value) for key, value in kwargs.items()} | _phrases(kwargs))
    condition = kwargs.get("row_condition")
    return f"{sentence}, where {_describe_condition(condition)}" if condition else sentence


_SENTENCES = {
    "expect_table_columns_to_match_set": "the columns {columns} are there",
    "expect_column_values_to_not_be_null": "{column} is present",
    "expect_column_values_to_be_null": "{column} is empty",
    "expect_column_values_to_be_in_set": "{column} is {value_set}",
    "expect_column_values_to_not_be_in_set": "{column} is not {value_set}",
    "expect_column_values_to_be_between": "{column} is {bounds}",
    "expect_column_values_to_match_regex": "{column} matches {regex}",
    "expect_column_values_to_not_match_regex": "{column} does not match {regex}",
    "expect_column_values_to_be_valid_bn15": "{column} is a valid BN15",
    "expect_column_values_to_be_valid_bn9": "{column} is a valid BN9",
    "expect_column_values_to_be_instants_with_offset": "{column} is an ISO 8601 instant with an offset",
    "expect_column_pair_values_to_be_equal": "{column_A} = {column_B}",
    "expect_column_pair_values_a_to_be_greater_than_b": "{column_A} {comparison} {column_B}",
    "expect_rows_to_satisfy_formula": "{formula}",
}


def _phrases(kwargs: Mapping[str, Any]) -> dict[str, str]:
    """What a sentence needs beside the arguments as they are."""
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    if low is None or high is None:
        bounds = f"at least {_show(low)}" if high is None else f"at most {_show(high)}"
    else:
        bounds = _show(low) if low == high else f"from {_show(low)} to {_show(high)}"
    columns = ", ".join(kwargs.get("column_set", ()))
    return {"bounds": bounds, "columns": columns, "comparison": ">=" if kwargs.get("or_equal") else ">"}


def _show(value: Any) -> str:
    if isinstance(value, dict) and "$PARAMETER" in value:
        return {"as_of": "the period's last day"}[value["$PARAMETER"]]
    if isinstance(value, list):
        words = [_show(item) for item in value]
        return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
    if isinstance(value, bool):
        return "true" if value else "false"
    # Bounds on days are written as instants, because Great Expectations compares only those.
    return str(value).removesuffix("T00:00:00")


def _describe_condition(condition: Mapping[str, Any]) -> str:
    if condition["type"] == "and":
        return " and ".join(_describe_condition(part) for part in condition["conditions"])
    return f"{condition['column']['name']} is {_show(condition['parameter'])}"


def _list_runs(folder: Path) -> list[dict[str, Any]]:
    """The runs that have pages, the latest name first, each with what its pages say, in the order of the gates."""
    runs: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(folder.glob("*/*.json")):
        facts = json.loads(path.read_text(encoding="utf-8"))
        runs.setdefault(path.parent.name, []).append(facts)
    for pages in runs.values():
        pages.sort(key=lambda facts: DATASETS.index(facts["dataset"]))
    return [{"name": name, "pages": pages} for name, pages in sorted(runs.items(), reverse=True)]


def _open_templates() -> jinja2.Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Two tasks of one run may finish at once; the index of the one that comes second lists both."""
    path = folder / ".lock"
    with path.open("a") as lock:
        path.chmod(0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(path: Path, text: str) -> None:
    """Replace the file by one rename, readable by its owner alone."""
    # mkstemp gives mode 0600.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise

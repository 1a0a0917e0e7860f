"""What the house forbids, found in source text: imports against the grain, clocks, SQL headers that are untrue.

Every function takes text and returns sentences, one an offence, so that ``test_architecture.py`` can show it both the
project and a sample that must be found.
"""

import ast
import re
import sys
from collections.abc import Iterator

import sqlglot
from sqlglot import exp

# --- Imports ----------------------------------------------------------------------------------------------------

# The domain may use the standard library, but for what reaches outside the process, and these small pure packages.
_REACHES_OUTSIDE = {"sqlite3", "socket", "ssl", "http", "urllib", "smtplib", "subprocess", "multiprocessing", "asyncio"}
DOMAIN_MAY_IMPORT = (sys.stdlib_module_names - _REACHES_OUTSIDE) | {"babel", "holidays", "stdnum", "yaml"}
DOMAIN = "include.carm"


def imported_modules(source: str, package: str = "") -> Iterator[tuple[int, str]]:
    """Line and full name of every module that the source imports anywhere: at its top, in functions, for typing only.

    ``package`` is the package that the file lies in, for relative imports.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            # ``from include import carm`` imports include.carm, so both names count.
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and _name_of(node.func) in {"import_module", "__import__"} and node.args:
            module_name = node.args[0]
            if isinstance(module_name, ast.Constant) and isinstance(module_name.value, str):
                yield node.lineno, module_name.value


def forbidden_imports(source: str, forbidden: set[str], package: str = "") -> list[str]:
    """Imports of the ``forbidden`` top-level packages."""
    return [
        f"line {line} imports {module}"
        for line, module in imported_modules(source, package)
        if module.split(".")[0] in forbidden
    ]


def impure_imports(source: str, package: str = DOMAIN) -> list[str]:
    """Imports that the domain may not have: databases, frames, Airflow, and the steps that stand above it."""
    return [
        f"line {line} imports {module}: the domain knows only the standard library, small pure packages and itself"
        for line, module in imported_modules(source, package)
        if module.split(".")[0] not in DOMAIN_MAY_IMPORT and not f"{module}.".startswith(f"{DOMAIN}.")
    ]


# --- Clocks -----------------------------------------------------------------------------------------------------

# Names that ask what day or what time it is, whatever they are called on; monotonic clocks only measure.
_CLOCK_NAMES = {
    "now", "utcnow", "today", "time_ns", "localtime", "gmtime", "ctime",
    "current_date", "current_time", "current_timestamp", "localtimestamp",
}  # fmt: skip
_CLOCK_IN_SQL = re.compile(
    r"\b(current_date|current_time|current_timestamp|localtimestamp)\b|\b(now|today)\s*\(\s*\)", re.IGNORECASE
)
_SQL_WORD = re.compile(r"\b(select|insert|update|default|where)\b", re.IGNORECASE)


def clock_readings(source: str) -> list[str]:
    """Places of Python source that read the wall clock, in code or inside SQL text."""
    tree = ast.parse(source)
    docstrings = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            named_clock = node.attr in _CLOCK_NAMES or (node.attr == "time" and _name_of(node.value) == "time")
            if named_clock:
                found.append((node.lineno, ast.unparse(node)))
        elif isinstance(node, ast.ImportFrom):
            clocks = {alias.name for alias in node.names} & (
                _CLOCK_NAMES | ({"time"} if node.module == "time" else set())
            )
            found += [(node.lineno, f"from {node.module} import {name}") for name in sorted(clocks)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings:
            clock = _CLOCK_IN_SQL.search(node.value)
            if clock and _SQL_WORD.search(node.value):
                found.append((node.lineno, f"SQL text with {clock[0]}"))
    return [f"line {line} reads the clock: {what}; time comes from the period" for line, what in sorted(found)]


# --- SQL files --------------------------------------------------------------------------------------------------

FIELDS = ("Purpose", "Grain", "Reads", "Writes", "Parameters", "Rerun")
VERBS = ("select", "derive", "check", "stage")
_FIELD = re.compile(r"-- (?P<name>[A-Z][a-z]+): (?P<value>\S.*)")
_CONTINUED = re.compile(r"--  +(?P<value>\S.*)")
_PARAMETER = re.compile(r"\$?(?P<name>[a-z_][a-z0-9_]*)( \([a-z]+\))?")
_NOTHING = re.compile(r"(nothing|none)\b")
_FLOATS = (exp.DataType.Type.FLOAT, exp.DataType.Type.DOUBLE)
_CLOCKS = (exp.CurrentDate, exp.CurrentTime, exp.CurrentTimestamp, exp.CurrentDatetime, exp.Localtimestamp)


def read_header(sql: str) -> dict[str, str]:
    """The fields of the comment that a SQL file begins with; a line indented further goes on with its field."""
    header: dict[str, str] = {}
    for line in sql.splitlines():
        if field := _FIELD.fullmatch(line):
            header[field["name"]] = field["value"]
        elif (continued := _CONTINUED.fullmatch(line)) and header:
            header[next(reversed(header))] += " " + continued["value"]
        else:
            break
    return header


def faults_of_statement(name: str, sql: str, datasets: set[str]) -> list[str]:
    """What is untrue in the header of ``include/sql/<name>.sql``, or against the house in its body.

    ``datasets`` are the names that a statement may write.
    """
    header = read_header(sql)
    if tuple(header) != FIELDS:
        return [f"has the header fields {', '.join(header) or 'none'}; it needs {', '.join(FIELDS)}, in this order"]
    try:
        statements = [statement for statement in sqlglot.parse(sql, dialect="duckdb") if statement is not None]
    except sqlglot.errors.ParseError as error:
        return [f"cannot be parsed: {error}"]
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        return ["is not exactly one SELECT"]
    statement = statements[0]
    return [
        *_faults_of_name(name),
        *_faults_of_reads(header["Reads"], statement),
        *_faults_of_writes(header["Writes"], datasets),
        *_faults_of_parameters(header["Parameters"], statement),
        *_faults_of_order(header, statement),
        *([] if _NOTHING.match(header["Writes"]) else _faults_of_columns(statement)),
        *_faults_of_money(statement),
        *_faults_of_time(statement),
    ]


def _faults_of_name(name: str) -> list[str]:
    if re.fullmatch(rf"({'|'.join(VERBS)})_[a-z][a-z0-9_]*", name):
        return []
    return [f"is not named <verb>_<object> with one of the verbs {', '.join(VERBS)}"]


def _faults_of_reads(reads: str, statement: exp.Query) -> list[str]:
    said = {name.strip() for name in reads.split(",")} - {"", "none", "nothing"}
    ctes = {cte.alias.lower() for cte in statement.find_all(exp.CTE)}
    # A table function, such as unnest($shards), is not a relation.
    tables = {t.name.lower() for t in statement.find_all(exp.Table) if isinstance(t.this, exp.Identifier)}
    done = tables - ctes
    faults = [f"says that it reads {name}, and does not" for name in sorted(said - done)]
    return faults + [f"reads {name}, and does not say so" for name in sorted(done - said)]


def _faults_of_writes(writes: str, datasets: set[str]) -> list[str]:
    if _NOTHING.match(writes) or writes.split()[0] in datasets:
        return []
    return [f"says that it writes {writes}: neither a dataset nor 'nothing, ...'"]


def _faults_of_parameters(parameters: str, statement: exp.Query) -> list[str]:
    said = set()
    for text in [] if parameters == "none" else parameters.split(","):
        written = _PARAMETER.fullmatch(text.strip())
        if written is None:
            return [f"has a parameter '{text.strip()}' that is not written as $name (type)"]
        said.add(written["name"])
    bound = {str(placeholder.this) for placeholder in statement.find_all(exp.Placeholder)}
    bound |= {parameter.name for parameter in statement.find_all(exp.Parameter)}
    faults = [f"names the parameter ${name}, and does not bind it" for name in sorted(said - bound)]
    return faults + [f"binds ${name}, and does not name it" for name in sorted(bound - said)]


def _faults_of_order(header: dict[str, str], statement: exp.Query) -> list[str]:
    is_ordered = statement.args.get("order") is not None
    if is_ordered or "no order" in header["Rerun"] or header["Grain"] == "one row.":
        return []
    return ["promises the same order without a last ORDER BY"]


def _faults_of_columns(statement: exp.Query) -> list[str]:
    selects = [statement] if isinstance(statement, exp.Select) else statement.find_all(exp.Select)
    last = [select for select in selects if select.find_ancestor(exp.CTE, exp.Subquery) is None]
    if any(column.find(exp.Star) and not column.find(exp.Count) for select in last for column in select.expressions):
        return ["publishes SELECT *: name the columns"]
    return []


def _faults_of_money(statement: exp.Query) -> list[str]:
    floats = [cast for cast in statement.find_all(exp.Cast, exp.TryCast) if cast.to.this in _FLOATS]
    # Division and average give a DOUBLE in DuckDB, whatever goes in.
    inexact = [
        node
        for node in statement.find_all(exp.Div, exp.Avg)
        if any(column.name.lower().endswith("_cents") for column in node.find_all(exp.Column))
    ]
    return [f"casts to a float: {cast.sql('duckdb')}" for cast in floats] + [
        f"makes a float of cents: {node.sql('duckdb')}" for node in inexact
    ]


def _faults_of_time(statement: exp.Query) -> list[str]:
    clocks = [node.sql("duckdb") for node in statement.find_all(*_CLOCKS)]
    calls = (node.name.lower() for node in statement.find_all(exp.Anonymous))
    clocks += [f"{name}()" for name in calls if name in {"now", "today", "get_current_timestamp", "get_current_time"}]
    return [f"reads the clock: {clock}; time comes from the period" for clock in clocks]


def _name_of(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""

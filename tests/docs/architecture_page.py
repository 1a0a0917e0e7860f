"""The drawings and tables of ``docs/architecture.md`` that are made from the code.

The page is prose written by hand around blocks between two comments, ``<!-- from the code: NAME -->`` and ``<!-- end
-->``. ``make golden`` writes the blocks anew; ``tests/dags/test_architecture_page.py`` fails where one is not current.
Every drawing is Mermaid, which GitHub renders, and beside each stands the same in words.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from include.datasets import SCHEMAS
from include.feeds import LEDGER_FEEDS
from tests.architecture import imported_modules, read_header
from tests.docs.rooms import ROOMS, WHAT, room_of

PROJECT = Path(__file__).resolve().parents[2]
PAGE = PROJECT / "docs" / "architecture.md"
INCLUDE = PROJECT / "include"
MONTH = "carm_month"

Edges = set[tuple[str, str]]

_BLOCK = re.compile(r"(<!-- from the code: ([a-z ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def render(page: str, dags: Mapping[str, Any]) -> str:
    """The page with every block made anew; raises ``KeyError`` for a block that nobody makes."""
    blocks: dict[str, Callable[[], Iterable[str]]] = {
        "layers": draw_layers,
        "tasks of a month": lambda: draw_tasks(dags[MONTH]),
        "steps of a month": lambda: tabulate_steps(dags[MONTH]),
        "dags": lambda: tabulate_dags(dags),
        "datasets": draw_datasets,
        "datasets in words": tabulate_datasets,
        "rooms": list_rooms,
    }
    return _BLOCK.sub(lambda match: match[1] + "\n".join(blocks[match[2]]()) + "\n" + match[3], page)


# --- Drawing ---------------------------------------------------------------------------------------------------------


def without_detours(edges: Edges) -> Edges:
    """The edges that no longer way says already: of a, b, c in a row the one from a to c goes."""
    following: dict[str, set[str]] = {}
    for start, end in edges:
        following.setdefault(start, set()).add(end)

    def reaches(start: str, goal: str, seen: set[str]) -> bool:
        for end in following.get(start, set()) - seen:
            seen.add(end)
            if end == goal or reaches(end, goal, seen):
                return True
        return False

    return {
        (start, end)
        for start, end in edges
        if not any(reaches(other, end, {start}) for other in following[start] - {start, end})
    }


def _mermaid(direction: str, title: str, described: str, lines: Iterable[str]) -> list[str]:
    head = ["```mermaid", f"flowchart {direction}", f"    accTitle: {title}", f"    accDescr: {described}"]
    return [*head, *(f"    {line}" for line in lines), "```"]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [_row(*head), _row(*["---"] * len(head)), *(_row(*row) for row in rows)]


def _link(path: Path, text: str = "") -> str:
    return f"[{text or path.name}](../{path.relative_to(PROJECT)})"


def _first_sentence(text: str | None) -> str:
    """The first sentence of a docstring, without the marks of reStructuredText."""
    paragraph = " ".join((text or "").strip().split("\n\n")[0].split())
    sentence = re.split(r"(?<=[.!?]) (?=[A-Z])", paragraph)[0].rstrip(".")
    sentence = re.sub(r":\w+:`([^`]+)`", r"`\1`", sentence.replace("``", "`"))
    return re.sub(r"[<>*]", lambda mark: f"\\{mark[0]}", sentence) if "`" not in sentence else sentence


# --- Layers ----------------------------------------------------------------------------------------------------------

_LAYERS = {
    "dags": "dags: order, schedule, params",
    "plugins": "plugins: what Airflow must load",
    "cli": "include.cli: the command carm",
    "local": "include.local_airflow: make run",
    "portal": "include.portal: pages",
    "steps": "include: the steps of a month",
    "quality": "include.quality: the gate",
    "demo": "include.demo: the invented ledger",
    "domain": "include.carm: the domain",
}


def _layer_of(module: str) -> str | None:
    parts = module.split(".")
    if parts[0] in ("dags", "plugins"):
        return parts[0]
    if parts[0] != "include":
        return None
    names = {"cli": "cli", "local_airflow": "local", "portal": "portal", "quality": "quality", "demo": "demo"}
    return "domain" if parts[1:2] == ["carm"] else names.get(parts[1] if len(parts) > 1 else "", "steps")


def layer_edges() -> Edges:
    """Which layer imports which, anywhere in its files."""
    found: Edges = set()
    for folder in ("dags", "plugins", "include"):
        for path in sorted((PROJECT / folder).rglob("*.py")):
            module = ".".join(path.relative_to(PROJECT).with_suffix("").parts)
            layer = _layer_of(module)
            package = ".".join(path.relative_to(PROJECT).parent.parts)
            for _, imported in imported_modules(path.read_text(encoding="utf-8"), package):
                other = _layer_of(imported) if imported.count(".") else None
                if layer and other and other != layer:
                    found.add((layer, other))
    return found


def draw_layers() -> list[str]:
    edges = layer_edges()
    used = [name for name in _LAYERS if any(name in edge for edge in edges)]
    lines = [f'{name}["{_LAYERS[name]}"]' for name in used]
    lines += [f"{start} --> {end}" for start, end in sorted(edges, key=lambda edge: _by(_LAYERS, edge))]
    words = [f"- `{name}` imports {', '.join(_named(other for start, other in edges if start == name))}"
             for name in used if any(start == name for start, _ in edges)]  # fmt: skip
    drawing = _mermaid("TD", "The layers and what imports what", "The list below says the same in words.", lines)
    return [*drawing, "", "In words, every import:", "", *words]


def _named(names: Iterable[str]) -> list[str]:
    return [f"`{name}`" for name in sorted(set(names), key=list(_LAYERS).index)]


def _by(order: Iterable[str], edge: tuple[str, str]) -> tuple[int, int]:
    places = list(order)
    return places.index(edge[0]), places.index(edge[1])


# --- Dags and tasks --------------------------------------------------------------------------------------------------


def _tasks(dag: Any) -> list[Any]:
    """The tasks in the order in which they may run; without the watcher, which only makes a run red."""
    waiting = {task.task_id: task for task in dag.tasks if task.trigger_rule != "one_failed"}
    ordered: list[Any] = []
    while waiting:
        ready = [task for task in waiting.values() if not task.upstream_task_ids & waiting.keys()]
        ordered += ready
        for task in ready:
            del waiting[task.task_id]
    return ordered


def _task_edges(dag: Any) -> Edges:
    names = {task.task_id for task in _tasks(dag)}
    return without_detours(
        {(above, task.task_id) for task in _tasks(dag) for above in task.upstream_task_ids if above in names}
    )


def draw_tasks(dag: Any) -> list[str]:
    groups: dict[str, list[str]] = {}
    for task in _tasks(dag):
        group, _, name = task.task_id.rpartition(".")
        text = f'{_node(task.task_id)}["{name}"]'
        if task.is_mapped:
            text = f'{_node(task.task_id)}[["{name}, one a shard"]]'
        groups.setdefault(group, []).append(text)
    lines: list[str] = []
    for group, nodes in groups.items():
        inside = [f"    {node}" for node in nodes] if group else nodes
        lines += [f'subgraph group_{group}["{group}"]', *inside, "end"] if group else inside
    order = [task.task_id for task in _tasks(dag)]
    edges = sorted(_task_edges(dag), key=lambda edge: _by(order, edge))
    lines += [f"{_node(start)} --> {_node(end)}" for start, end in edges]
    return _mermaid("TD", f"The tasks of {dag.dag_id}", "The table below says the same in words.", lines)


def _node(name: str) -> str:
    return name.replace(".", "__")


def tabulate_steps(dag: Any) -> list[str]:
    edges, steps = _task_edges(dag), _imported_steps(PROJECT / "dags" / f"{dag.dag_id}.py")
    rows = []
    for task in _tasks(dag):
        name = task.task_id.rpartition(".")[2]
        before = [start.rpartition(".")[2] for start, end in sorted(edges) if end == task.task_id]
        modules = [_link(INCLUDE / f"{module}.py") for module in steps.get(name, [])]
        rows.append(
            (f"`{name}`", ", ".join(f"`{b}`" for b in before) or "-", task.pool, _says(task), ", ".join(modules))
        )
    return _table(("task", "after", "pool", "what it does", "step"), rows)


def _says(task: Any) -> str:
    told = task.doc_md or getattr(getattr(task, "python_callable", None), "__doc__", None)
    return _first_sentence(told or task.partial_kwargs["doc_md"])


def _imported_steps(file: Path) -> dict[str, list[str]]:
    """By task, the modules of ``include/`` whose functions it calls."""
    found: dict[str, list[str]] = {}
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            imports = (inner for inner in ast.walk(node) if isinstance(inner, ast.ImportFrom))
            modules = [str(inner.module).removeprefix("include.").replace(".", "/") for inner in imports]
            found[node.name] = [module for module in modules if (INCLUDE / f"{module}.py").exists()]
    return found


def tabulate_dags(dags: Mapping[str, Any]) -> list[str]:
    rows = []
    for dag_id, dag in sorted(dags.items(), key=lambda item: (item[0] != MONTH, item[0])):
        order = " → ".join(f"`{task.task_id.rpartition('.')[2]}`" for task in _tasks(dag))
        rows.append((_link(PROJECT / "dags" / f"{dag_id}.py", dag_id), _schedule(dag), dag.description, order))
    return _table(("Dag", "when, where the schedule is on", "what it does", "its tasks, in order"), rows)


def _schedule(dag: Any) -> str:
    cron = getattr(dag.timetable, "expression", None) or getattr(dag.timetable, "_expression", None)
    return f"`{cron}`" if cron else "by hand"


# --- Datasets --------------------------------------------------------------------------------------------------------

SOURCE = "source"
"""What is judged by the gate comes from the source, not from another dataset."""

_STAGED = "staged"
_BEFORE = re.compile(r"^(previous|published)_")
_FEEDS = tuple(feed.name for feed in LEDGER_FEEDS)
# What extraction writes rests on quarantine as the months before left it.
_EXTRACTED = {*_FEEDS, *(f"baseline_{name}" for name in _FEEDS), "quarantine", "quarantine_released"}
_FILLERS = {"and", "its", "like"}


@cache
def _headers() -> dict[str, dict[str, str]]:
    files = sorted((INCLUDE / "sql").glob("*.sql"))
    return {file.stem: read_header(file.read_text(encoding="utf-8")) for file in files}


@cache
def writers() -> dict[str, str]:
    """By dataset the statement that writes it, where one does."""
    found = {}
    for statement, header in _headers().items():
        if not header["Writes"].startswith(("nothing", "none")):
            # The names stand before what explains them.
            names = re.split(r" of | \(", header["Writes"])[0]
            found |= {name: statement for name in re.findall(r"[a-z_]+", names) if name not in _FILLERS}
    return found


@cache
def _relations() -> dict[str, tuple[str, ...]]:
    """By relation that lives only inside a step the statements that make it, one a feed for some."""
    found: dict[str, tuple[str, ...]] = {}
    for statement, header in _headers().items():
        named = re.search(r"is (?:kept as )?the relations? ([a-z_]+)(?: and ([a-z_]+))?", header["Writes"])
        for name in named.groups() if named else ():
            if name:
                found[name] = (*found.get(name, ()), statement)
    return found


@cache
def sources_of(dataset: str) -> tuple[frozenset[str], frozenset[str]]:
    """On what the statement that writes ``dataset`` rests, also through relations inside the step.

    Two sets: of the same month, and of the months before it.
    """
    now: set[str] = set()
    before: set[str] = set()
    _gather(dataset, writers()[dataset], is_before=False, now=now, before=before, seen=set())
    return frozenset(now - {dataset}), frozenset(before)


def _gather(dataset: str, statement: str, *, is_before: bool, now: set[str], before: set[str], seen: set[str]) -> None:
    if statement in seen:
        return
    seen.add(statement)
    for read in (name.strip() for name in _headers()[statement]["Reads"].split(",")):
        then = is_before or bool(_BEFORE.match(read)) or (read == "open_quarantine" and dataset in _EXTRACTED)
        name = _BEFORE.sub("", read)
        if read in _relations():
            for maker in _relations()[read]:
                if _is_about(dataset, _headers()[maker]["Writes"]):
                    _gather(dataset, maker, is_before=then, now=now, before=before, seen=seen)
        elif name in writers() or name in SCHEMAS:
            (before if then else now).add(name)
        elif name == _STAGED:
            now.add(SOURCE)


def _is_about(dataset: str, written: str) -> bool:
    """Whether a relation of one feed belongs to a dataset; what is of no feed, or asks for both, takes all."""
    feed = dataset.removeprefix("baseline_")
    others = [name for name in _FEEDS if name != feed]
    return feed not in _FEEDS or not any(f"the feed {other}" in written for other in others)


def dataset_edges() -> Edges:
    """What is made of what within one month."""
    return {(source, dataset) for dataset in writers() for source in sources_of(dataset)[0]}


def draw_datasets() -> list[str]:
    edges = without_detours(dataset_edges())
    names = sorted({name for edge in edges for name in edge} - {SOURCE})
    lines = [f'{SOURCE}[("rows of the source, judged by the gate")]', *names]
    lines += [f"{start} --> {end}" for start, end in sorted(edges)]
    return _mermaid("TD", "Which dataset is made of which", "The table below says the same in words.", lines)


def tabulate_datasets() -> list[str]:
    rows = []
    for dataset, statement in sorted(writers().items()):
        purpose = _headers()[statement]["Purpose"].rstrip(".")
        now, before = (_named_datasets(names) for names in sources_of(dataset))
        rows.append((f"`{dataset}`", _link(INCLUDE / "sql" / f"{statement}.sql", statement), now, before, purpose))
    others = sorted(SCHEMAS.keys() - writers().keys())
    table = _table(("dataset", "written by", "made of", "and of months before", "the statement's purpose"), rows)
    return [*table, "", "Written by a step, as rows or by more than one statement:", "", *_wrapped(others)]


def _named_datasets(names: Iterable[str]) -> str:
    ordered = sorted(names, key=lambda name: (name != SOURCE, name))
    return ", ".join("the source" if name == SOURCE else f"`{name}`" for name in ordered) or "-"


def _wrapped(names: Iterable[str]) -> list[str]:
    return [f"- `{name}`" for name in names]


# --- Rooms -----------------------------------------------------------------------------------------------------------


def modules() -> Iterator[str]:
    """Every module of ``include/``, by its path, without those that are only the name of a package."""
    for path in sorted(INCLUDE.rglob("*.py")):
        if path.name != "__init__.py" and "versions" not in path.parts:
            yield path.relative_to(INCLUDE).with_suffix("").as_posix()


def modules_without_room() -> list[str]:
    return [module for module in modules() if room_of(module) is None]


def list_rooms() -> list[str]:
    lines: list[str] = []
    for room in ROOMS:
        inside = [module for module in modules() if room_of(module) == room]
        if not inside:
            continue
        lines += [f"### {room}", "", WHAT[room], ""]
        lines += _table(
            ("module", "what it does"), ((_link(INCLUDE / f"{name}.py", name), _says_of(name)) for name in inside)
        )
        lines += [""]
    return lines[:-1]


def _says_of(module: str) -> str:
    tree = ast.parse((INCLUDE / f"{module}.py").read_text(encoding="utf-8"))
    return _first_sentence(ast.get_docstring(tree))

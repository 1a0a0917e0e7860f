"""Mutants of one Python module, from its syntax tree: conditions, numbers, words, calls and statements, each wrong in
turn.

Left alone is what no behaviour hangs on: annotations, docstrings, decorators, and what an error says to a person.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from copy import copy

from tests.mutation.mutant import Found, Mutant, distinct, shorten

_OTHER_COMPARISON: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OTHER_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
}
_OTHER_FUNCTION = {"min": "max", "max": "min", "any": "all", "all": "any"}
_NOT_BEHAVIOUR = ("annotation", "returns", "decorator_list", "type_params")

Change = tuple[str, ast.AST | None]
"""The operator's name, and what stands in the node's place; None takes an element out of its list."""


def mutants_of(subject: str, source: str) -> Iterator[Mutant]:
    """Every mutant of the module ``source``."""
    tree = ast.parse(source)

    def found() -> Iterator[Found]:
        for spot in _spots(tree):
            for operator in _OPERATORS:
                for name, replacement in operator(spot):
                    before = ast.unparse(spot.node)
                    after = "" if replacement is None else ast.unparse(ast.fix_missing_locations(replacement))
                    if before != after:
                        text = spot.rendered_with(tree, replacement)
                        yield Found(spot.place, name, shorten(before), shorten(after), text)

    yield from distinct(subject, ast.unparse(tree), found())


class _Spot:
    """A node with the field that holds it, so that another can be put there and taken back."""

    def __init__(self, node: ast.AST, parents: tuple[ast.AST, ...], field: str, position: int | None) -> None:
        self.node, self.parents, self.field, self.position = node, parents, field, position

    @property
    def parent(self) -> ast.AST:
        return self.parents[-1]

    @property
    def place(self) -> str:
        names = [node.name for node in (*self.parents, self.node) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        return ".".join(names) or "module"

    def rendered_with(self, tree: ast.Module, replacement: ast.AST | None) -> str:
        held = getattr(self.parent, self.field)
        changed: object = replacement
        if self.position is not None:
            changed = [*held[: self.position], *([replacement] if replacement else []), *held[self.position + 1 :]]
        setattr(self.parent, self.field, changed)
        try:
            return ast.unparse(ast.fix_missing_locations(tree))
        finally:
            setattr(self.parent, self.field, held)


def _spots(node: ast.AST, parents: tuple[ast.AST, ...] = ()) -> Iterator[_Spot]:
    for field, value in ast.iter_fields(node):
        if field in _NOT_BEHAVIOUR:
            continue
        for position, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(child, ast.AST) and not _is_left_alone(child):
                yield _Spot(child, (*parents, node), field, position)
                yield from _spots(child, (*parents, node))


def _is_left_alone(node: ast.AST) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom | ast.JoinedStr):
        return True
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return True
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)  # a docstring


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


# Conditions.


def _comparison(spot: _Spot) -> Iterator[Change]:
    if isinstance(spot.node, ast.Compare):
        for position, operation in enumerate(spot.node.ops):
            other = _OTHER_COMPARISON[type(operation)]()
            others = [*spot.node.ops[:position], other, *spot.node.ops[position + 1 :]]
            yield "another comparison", _with(spot.node, ops=others)


def _connection(spot: _Spot) -> Iterator[Change]:
    if isinstance(spot.node, ast.BoolOp):
        other = ast.Or() if isinstance(spot.node.op, ast.And) else ast.And()
        yield "and and or exchanged", _with(spot.node, op=other)
        for position in range(len(spot.node.values)):
            kept = [value for i, value in enumerate(spot.node.values) if i != position]
            yield "operand dropped", kept[0] if len(kept) == 1 else _with(spot.node, values=kept)


def _negation(spot: _Spot) -> Iterator[Change]:
    if isinstance(spot.node, ast.UnaryOp) and isinstance(spot.node.op, ast.Not):
        yield "not dropped", spot.node.operand
    elif isinstance(spot.node, ast.UnaryOp) and isinstance(spot.node.op, ast.USub):
        yield "sign dropped", spot.node.operand
    elif isinstance(spot.node, ast.expr) and spot.field == "test" and not isinstance(spot.node, ast.Compare):
        yield "condition turned round", ast.UnaryOp(op=ast.Not(), operand=spot.node)


def _choice(spot: _Spot) -> Iterator[Change]:
    if isinstance(spot.node, ast.IfExp):
        yield "one side always", spot.node.body
        yield "one side always", spot.node.orelse


def _filter(spot: _Spot) -> Iterator[Change]:
    if isinstance(spot.parent, ast.comprehension) and spot.field == "ifs":
        yield "filter dropped", None


# Values.


def _constant(spot: _Spot) -> Iterator[Change]:
    if not isinstance(spot.node, ast.Constant) or _is_said_to_a_person(spot) or _is_a_type(spot):
        return
    value = spot.node.value
    if isinstance(value, bool):
        yield "True and False exchanged", ast.Constant(not value)
    elif isinstance(value, int):
        yield "another number", ast.Constant(value + 1)
        if value > 0:
            yield "another number", ast.Constant(value - 1)
    elif isinstance(value, str):
        yield "another word", ast.Constant(f"no {value}" if value else "x")


def _is_said_to_a_person(spot: _Spot) -> bool:
    return any(isinstance(parent, ast.Raise) for parent in spot.parents)


def _is_a_type(spot: _Spot) -> bool:
    return any(
        isinstance(parent, ast.Subscript) and isinstance(parent.value, ast.Name) and parent.value.id == "Literal"
        for parent in spot.parents
    )


def _arithmetic(spot: _Spot) -> Iterator[Change]:
    if isinstance(spot.node, ast.BinOp) and type(spot.node.op) in _OTHER_ARITHMETIC:
        yield "another arithmetic", _with(spot.node, op=_OTHER_ARITHMETIC[type(spot.node.op)]())


def _element(spot: _Spot) -> Iterator[Change]:
    if (
        isinstance(spot.parent, ast.Tuple | ast.List | ast.Set)
        and isinstance(getattr(spot.parent, "ctx", ast.Load()), ast.Load)
        and not (len(spot.parents) > 1 and isinstance(spot.parents[-2], ast.Subscript))
        and spot.field == "elts"
    ):
        yield "element dropped", None
    if isinstance(spot.node, ast.Dict):
        for position in range(len(spot.node.keys)):
            keys, values = list(spot.node.keys), list(spot.node.values)
            del keys[position], values[position]
            yield "element dropped", _with(spot.node, keys=keys, values=values)


# Calls and statements.


def _call(spot: _Spot) -> Iterator[Change]:
    if not isinstance(spot.node, ast.Call):
        return
    name = spot.node.func.id if isinstance(spot.node.func, ast.Name) else ""
    if name in _OTHER_FUNCTION:
        yield "another function", _with(spot.node, func=ast.Name(_OTHER_FUNCTION[name], ast.Load()))
    # A class is made with all its fields: without one it could not be made at all.
    if name == "cls" or name[:1].isupper():
        return
    for position, keyword in enumerate(spot.node.keywords):
        if keyword.arg is not None:
            kept = [other for i, other in enumerate(spot.node.keywords) if i != position]
            yield "argument dropped", _with(spot.node, keywords=kept)


def _statement(spot: _Spot) -> Iterator[Change]:
    if isinstance(spot.node, ast.Expr | ast.Raise | ast.AugAssign | ast.Continue | ast.Break):
        yield "statement dropped", ast.Pass()
    elif isinstance(spot.node, ast.Return) and spot.node.value is not None:
        yield "nothing returned", ast.Return(value=ast.Constant(None))


_OPERATORS: tuple[Callable[[_Spot], Iterator[Change]], ...] = (
    _comparison,
    _connection,
    _negation,
    _choice,
    _filter,
    _constant,
    _arithmetic,
    _element,
    _call,
    _statement,
)

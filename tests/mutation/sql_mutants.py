"""Mutants of one SQL statement, from its syntax tree: every place where a comparison, a branch, a join, a default or a
name could be slightly wrong, each wrong in turn.

The operators are those of the literature on mutating SQL (comparison, logical connection, NULL, join, aggregate and
identifier replacement), and those that a decision made of CASE calls for: a branch left out, two exchanged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from sqlglot import exp, parse_one

from tests.mutation.mutant import Found, Mutant, distinct, shorten

DIALECT = "duckdb"


@dataclass(frozen=True)
class Change:
    """What stands in a node's place; ``before`` and ``after`` say it shorter than the two whole nodes would."""

    operator: str
    replacement: exp.Expression
    before: str | None = None
    after: str | None = None


_NEXT_COMPARISON: dict[type[exp.Expression], tuple[type[exp.Expression], ...]] = {
    exp.LT: (exp.LTE,),
    exp.LTE: (exp.LT,),
    exp.GT: (exp.GTE,),
    exp.GTE: (exp.GT,),
    exp.EQ: (exp.NEQ,),
    exp.NEQ: (exp.EQ,),
    # Beside its opposite the comparison that gives NULL for a NULL.
    exp.NullSafeEQ: (exp.NullSafeNEQ, exp.EQ),
    exp.NullSafeNEQ: (exp.NullSafeEQ, exp.NEQ),
}
_OTHER_FUNCTION: dict[type[exp.Expression], type[exp.Expression]] = {
    exp.Greatest: exp.Least,
    exp.Least: exp.Greatest,
    exp.LogicalAnd: exp.LogicalOr,
    exp.LogicalOr: exp.LogicalAnd,
    exp.Max: exp.Min,
    exp.Min: exp.Max,
}
# Columns that could be taken for one another, by how they are named; the house names like things alike.
_KINDS = {
    "day": re.compile(r".+_(on|until)|until"),
    "month": re.compile(r".+_in"),
    "flag": re.compile(r"(is|has)_.+|covered"),
    "number": re.compile(r".+_(cents|items|no)"),
    "program type": re.compile(r"(.+_)?program_type|change"),
    "word": re.compile(r"(.+_)?(action|reason|seen|by|outcome|kind)"),
    "key": re.compile(r"bn15|.+_(key|id)"),
}


def mutants_of(subject: str, text: str) -> Iterator[Mutant]:
    """Every mutant of the statement ``text``; each binds the same parameters as the original."""
    statement = _Statement(text)
    vocabulary = _Vocabulary(statement.tree)

    def found() -> Iterator[Found]:
        for part in statement.parts:
            for node in list(part.walk()):
                for operator in _OPERATORS:
                    for change in operator(node, vocabulary):
                        before = _short(node) if change.before is None else change.before
                        after = _short(change.replacement) if change.after is None else change.after
                        mutated = statement.rendered_with(part, node, change.replacement)
                        yield Found(part.alias or "last select", change.operator, before, after, mutated)

    yield from distinct(subject, statement.rendered(), found())


def rendered(text: str) -> str:
    """The statement ``text`` unchanged, as the syntax tree writes it."""
    return _Statement(text).rendered()


class _Statement:
    """A statement in its parts, the CTEs and the last SELECT, so that a change writes only its own part anew."""

    def __init__(self, text: str) -> None:
        self.tree = parse_one(text, read=DIALECT)
        ctes = list(self.tree.ctes)
        last = self.tree.copy()
        last.set("with_", None)
        self.parts: list[exp.Expression] = [*ctes, last]
        self._texts = {id(part): _sql(part) for part in self.parts}
        self._parameters = [f"${name}" for name in sorted({node.name for node in self.tree.find_all(exp.Placeholder)})]

    def rendered(self) -> str:
        return self._joined(self._texts)

    def rendered_with(self, part: exp.Expression, node: exp.Expression, replacement: exp.Expression) -> str:
        if node is part:
            return self._joined(self._texts | {id(part): _sql(replacement)})
        node.replace(replacement)
        text = _sql(part)
        replacement.replace(node)
        return self._joined(self._texts | {id(part): text})

    def _joined(self, texts: dict[int, str]) -> str:
        *ctes, last = (texts[id(part)] for part in self.parts)
        whole = " ".join([*ctes, last])
        # Whoever runs the statement binds every parameter: one that a change took out is named where nobody reads.
        missing = [name for name in self._parameters if not re.search(re.escape(name) + r"\b", whole)]
        if missing:
            ctes.append(f"unread AS (SELECT {', '.join(missing)})")
        return f"WITH {', '.join(ctes)} {last}" if ctes else last


def _sql(node: exp.Expression) -> str:
    return node.sql(dialect=DIALECT, comments=False)


def _short(node: exp.Expression) -> str:
    return shorten(_sql(node))


class _Vocabulary:
    """The words, columns and parameters of a statement that could be taken for one another."""

    def __init__(self, tree: exp.Expression) -> None:
        self._words: dict[str, list[str]] = {}
        for literal in tree.find_all(exp.Literal):
            words = self._words.setdefault(self._topic(literal), [])
            if literal.is_string and literal.name not in words:
                words.append(literal.name)
        self._parameters = sorted({node.name for node in tree.find_all(exp.Placeholder)})

    def _topic(self, literal: exp.Expression) -> str:
        """What the word is a value of: the column it is compared with, or the column that a CASE makes."""
        parent = literal.parent
        if isinstance(parent, exp.EQ | exp.NEQ | exp.In | exp.NullSafeEQ | exp.NullSafeNEQ):
            return f"compared with {parent.this.name}"
        alias = literal.find_ancestor(exp.Alias)
        return f"of {alias.alias}" if alias is not None else "of no column"

    def next_word(self, literal: exp.Expression) -> str:
        words = self._words[self._topic(literal)]
        following = words[(words.index(literal.name) + 1) % len(words)]
        return following if following != literal.name else f"no {literal.name}"

    def first_result(self, node: exp.Expression) -> exp.Expression | None:
        """The first result of the CASE in which ``node`` is one: what could stand there in place of NULL."""
        case = node.find_ancestor(exp.Case)
        if case is None:
            return None
        results = [branch.args["true"] for branch in case.args["ifs"]]
        return next((result for result in results if not isinstance(result, exp.Null)), None)

    def next_column(self, column: exp.Expression) -> exp.Expression | None:
        """The column after this one, by name, of the same kind and read by the same SELECT."""
        kind = next((kind for kind in _KINDS.values() if kind.fullmatch(column.name)), None)
        select = column.find_ancestor(exp.Select)
        if kind is None or select is None:
            return None
        alike = {
            other.name: other
            for other in select.find_all(exp.Column)
            if kind.fullmatch(other.name) and other.find_ancestor(exp.Select) is select
        }
        names = sorted(alike)
        following = names[(names.index(column.name) + 1) % len(names)]
        return None if following == column.name else alike[following].copy()

    def next_parameter(self, placeholder: exp.Expression) -> str | None:
        following = self._parameters[(self._parameters.index(placeholder.name) + 1) % len(self._parameters)]
        return None if following == placeholder.name else following


# Conditions.


def _comparison(node: exp.Expression, _: _Vocabulary) -> Iterator[Change]:
    for other in _NEXT_COMPARISON.get(type(node), ()):
        yield Change("another comparison", other(this=node.this.copy(), expression=node.expression.copy()))


def _connection(node: exp.Expression, _: _Vocabulary) -> Iterator[Change]:
    if not isinstance(node, exp.And | exp.Or):
        return
    left, right = node.this, node.expression
    other = exp.Or if isinstance(node, exp.And) else exp.And
    yield Change("AND and OR exchanged", exp.paren(other(this=exp.paren(left), expression=exp.paren(right))))
    yield Change("operand dropped", exp.paren(left))
    yield Change("operand dropped", exp.paren(right))


def _negation(node: exp.Expression, _: _Vocabulary) -> Iterator[Change]:
    if isinstance(node, exp.Not):
        yield Change("NOT dropped", exp.paren(node.this))
    elif isinstance(node, exp.Is | exp.In) and not isinstance(node.parent, exp.Not):
        yield Change("NOT added", exp.Not(this=exp.paren(node)))


def _list(node: exp.Expression, _: _Vocabulary) -> Iterator[Change]:
    if isinstance(node, exp.In) and len(node.expressions) > 1:
        for position in range(len(node.expressions)):
            yield Change("word dropped from a list", _without(node, "expressions", position))


def _range(node: exp.Expression, _: _Vocabulary) -> Iterator[Change]:
    if isinstance(node, exp.Between):
        this, low, high = node.this, node.args["low"], node.args["high"]
        for lower, upper in ((exp.GT, exp.LTE), (exp.GTE, exp.LT)):
            ends = lower(this=this.copy(), expression=low.copy()), upper(this=this.copy(), expression=high.copy())
            yield Change("end of a range dropped", exp.paren(exp.and_(*ends)))


def _branches(node: exp.Expression, _: _Vocabulary) -> Iterator[Change]:
    if not isinstance(node, exp.Case):
        return
    branches = node.args["ifs"]
    for position, branch in enumerate(branches):
        if len(branches) > 1:
            yield Change("WHEN dropped", _without(node, "ifs", position), _short(branch), "")
        if node.this is None:
            always = node.copy()
            always.args["ifs"][position].set("this", exp.true())
            yield Change("WHEN always", always, _short(branch), _short(always.args["ifs"][position]))
    for first, second in pairwise(range(len(branches))):
        exchanged = node.copy()
        copies = list(exchanged.args["ifs"])
        copies[first], copies[second] = copies[second], copies[first]
        exchanged.set("ifs", copies)
        yield Change("WHENs exchanged", exchanged, _short(branches[first]), _short(branches[second]))
    if node.args.get("default") is not None:
        without = node.copy()
        without.set("default", None)
        yield Change("ELSE dropped", without, f"ELSE {_short(node.args['default'])}", "")


def _without(node: exp.Expression, field: str, position: int) -> exp.Expression:
    shorter = node.copy()
    shorter.set(field, [kept for i, kept in enumerate(shorter.args[field]) if i != position])
    return shorter


# Values.


def _literal(node: exp.Expression, vocabulary: _Vocabulary) -> Iterator[Change]:
    if isinstance(node, exp.Boolean):
        yield Change("TRUE and FALSE exchanged", exp.Boolean(this=not node.this))
    elif isinstance(node, exp.Literal) and node.is_string:
        yield Change("another word", exp.Literal.string(vocabulary.next_word(node)))
    elif isinstance(node, exp.Literal):
        number = 1 - int(node.name) if node.name in ("0", "1") else int(node.name) + 1
        yield Change("another number", exp.Literal.number(number))
    elif isinstance(node, exp.Null) and not isinstance(node.parent, exp.Is):
        word = vocabulary.first_result(node)
        if word is not None:
            yield Change("NULL replaced", word.copy())


def _default(node: exp.Expression, _: _Vocabulary) -> Iterator[Change]:
    if isinstance(node, exp.Coalesce):
        yield Change("COALESCE dropped", exp.paren(node.this))


def _name(node: exp.Expression, vocabulary: _Vocabulary) -> Iterator[Change]:
    if isinstance(node, exp.Column):
        other = vocabulary.next_column(node)
        if other is not None:
            is_bare = isinstance(node.parent, exp.Select) and node.arg_key == "expressions"
            yield Change("another column", exp.alias_(other, node.name) if is_bare else other)
    elif isinstance(node, exp.Placeholder):
        parameter = vocabulary.next_parameter(node)
        if parameter is not None:
            yield Change("another parameter", exp.Placeholder(this=parameter))


def _function(node: exp.Expression, _: _Vocabulary) -> Iterator[Change]:
    other = _OTHER_FUNCTION.get(type(node))
    if other is not None:
        yield Change("another function", other(**{name: value for name, value in node.copy().args.items() if value}))
    if isinstance(node, exp.Greatest | exp.Least) and node.expressions:
        operands = [node.this, *node.expressions]
        for position, operand in enumerate(operands):
            kept = [other.copy() for i, other in enumerate(operands) if i != position]
            shorter = node.copy()
            shorter.set("this", kept[0])
            shorter.set("expressions", kept[1:])
            yield Change("operand dropped", shorter, _short(operand), "")


# What is read.


def _filter(node: exp.Expression, _: _Vocabulary) -> Iterator[Change]:
    if isinstance(node, exp.Filter):
        yield Change("FILTER dropped", node.this.copy())


def _clauses(node: exp.Expression, _: _Vocabulary) -> Iterator[Change]:
    if not isinstance(node, exp.Select):
        return
    for clause in ("where", "having", "qualify", "distinct", "order"):
        if node.args.get(clause) is not None:
            without = node.copy()
            without.set(clause, None)
            yield Change(f"{clause.upper()} dropped", without, _short(node.args[clause]), "")


def _order(node: exp.Expression, _: _Vocabulary) -> Iterator[Change]:
    if isinstance(node, exp.Ordered):
        other = node.copy()
        other.set("desc", not node.args.get("desc"))
        yield Change("order turned round", other)
    elif isinstance(node, exp.Order) and len(node.expressions) > 1:
        for position, key in enumerate(node.expressions):
            yield Change("key of the order dropped", _without(node, "expressions", position), _short(key), "")


def _join(node: exp.Expression, _: _Vocabulary) -> Iterator[Change]:
    if isinstance(node, exp.Join) and node.args.get("on") is not None:
        other = node.copy()
        is_left = node.side == "LEFT"
        other.set("side", None if is_left else "LEFT")
        other.set("kind", "INNER" if is_left else None)
        yield Change("join of the other kind", other)


def _union(node: exp.Expression, _: _Vocabulary) -> Iterator[Change]:
    if isinstance(node, exp.Union):
        other = node.copy()
        other.set("distinct", not node.args.get("distinct"))
        yield Change("UNION and UNION ALL exchanged", other, _short(node.expression), "its rows once")
        yield Change("branch of a UNION dropped", node.this.copy(), _short(node.expression), "")
        if not isinstance(node.this, exp.Union):
            yield Change("branch of a UNION dropped", node.expression.copy(), _short(node.this), "")


_OPERATORS: tuple[Callable[[exp.Expression, _Vocabulary], Iterator[Change]], ...] = (
    _comparison,
    _connection,
    _negation,
    _list,
    _range,
    _branches,
    _literal,
    _default,
    _name,
    _function,
    _filter,
    _clauses,
    _order,
    _join,
    _union,
)

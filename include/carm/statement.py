"""One Statement of Account as an object, and the formats that need no page: CSV and JSON.

The object is built once from the lake's rows; every format reads the same object, so none can say something else
than another. Money is integer cents and a day is ISO text, as it is printed in both languages.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import marshal
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from itertools import groupby, islice
from operator import itemgetter
from typing import NamedTuple, cast, overload

COMPONENTS = (
    "customs_duty_cents",
    "excise_duty_cents",
    "excise_tax_cents",
    "gst_cents",
    "anti_dumping_cents",
    "countervailing_cents",
    "surtax_cents",
    "safeguard_cents",
    "provincial_tax_cents",
    "interest_cents",
)
"""What a charge is made of, in the order of form BSF945."""

AGEING = (
    "ageing_current_cents",
    "ageing_30_cents",
    "ageing_60_cents",
    "ageing_90_cents",
    "ageing_over_90_cents",
)
"""What is open by days past due: not at all, 1 to 30, 31 to 60, 61 to 90, more."""

SECTIONS = (
    "due",
    "other",
    "late",
    "under_review",
    "payments_credits",
    "offsets_disbursements",
    "interest",
    "penalties",
)
"""The sections in the order in which they stand on the page."""

# Spreadsheets take a cell that begins like this for a formula, whatever the quotes around it; some the wide signs too.
FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


class StatementLine(NamedTuple):
    """One printed line; the columns of ``statement_lines`` without the account. ``amount_cents`` is the effect."""

    line_no: int
    section: str
    transaction_id: str
    revision: int
    version: int
    kind: str
    transaction_number: str | None
    activity_on: str
    posted_on: str
    due_on: str | None
    status: str
    arrival: str
    broker_bn9: str | None
    customs_duty_cents: int
    excise_duty_cents: int
    excise_tax_cents: int
    gst_cents: int
    anti_dumping_cents: int
    countervailing_cents: int
    surtax_cents: int
    safeguard_cents: int
    provincial_tax_cents: int
    interest_cents: int
    amount_cents: int
    posted_amount_cents: int
    running_balance_cents: int

    @property
    def components(self) -> tuple[int, ...]:
        """The amounts of :data:`COMPONENTS`, in that order."""
        return self[_COMPONENTS]  # type: ignore[return-value]


FIRST_COMPONENT = StatementLine._fields.index(COMPONENTS[0])
_COMPONENTS = slice(FIRST_COMPONENT, FIRST_COMPONENT + len(COMPONENTS))


class StatementHead(NamedTuple):
    """What stands above the lines; the columns of ``statement_heads`` that a statement shows.

    ``language`` is ``en``, ``fr`` or ``both``.
    """

    bn15: str
    period: str
    version: int
    period_start: str
    period_end: str
    issued_on: str
    due_on: str
    language: str
    opening_cents: int
    debits_cents: int
    credits_cents: int
    closing_cents: int
    under_review_cents: int
    total_payable_cents: int
    line_count: int
    legal_name: str | None
    operating_name: str | None
    program_type: str | None
    account_status: str | None
    closed_on: str | None
    ageing_current_cents: int
    ageing_30_cents: int
    ageing_60_cents: int
    ageing_90_cents: int
    ageing_over_90_cents: int
    calculated_interest_cents: int | None
    missing_rate_quarter: str | None

    @property
    def ageing(self) -> tuple[int, ...]:
        """The amounts of :data:`AGEING`, in that order; they add up to the closing balance."""
        return cast(tuple[int, ...], self[_FIRST_AGE : _FIRST_AGE + len(AGEING)])


_FIRST_AGE = StatementHead._fields.index(AGEING[0])


class Reissue(NamedTuple):
    """What the box of a version says that was issued after its month: why, and what it replaces.

    ``act`` is ``restate``, or ``issue_parked`` for a first version that could not be issued with the others, which
    replaces none. ``changed`` names what differs from the version before.
    """

    act: str
    issued_on: str
    replaces: int | None
    replaces_issued_on: str | None
    changed: tuple[str, ...]
    reason_en: str
    reason_fr: str

    def reason(self, language: str) -> str:
        """Why, in ``en`` or ``fr``."""
        return self.reason_en if language == "en" else self.reason_fr


_LINES_A_PACKET = 1_000
# Part of what is hashed: another number gives every longer statement another hash than it was issued with.
_LINES_A_HASH = 1_000
MOST_UNPACKED_LINES = 10_000
"""More lines than this are kept packed: as objects, 300,000 of them take 200 MB."""


class PackedLines(Sequence[StatementLine]):
    """Very many lines, packed a thousand at a time; those of one packet are objects while somebody goes over them."""

    def __init__(self, lines: Iterable[StatementLine]) -> None:
        rows = iter(lines)
        self._packets: list[bytes] = []
        count = 0
        while packet := [tuple(line) for line in islice(rows, _LINES_A_PACKET)]:
            self._packets.append(zlib.compress(marshal.dumps(packet), level=1))
            count += len(packet)
        self._places = range(count)

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, place: int) -> StatementLine: ...

    @overload
    def __getitem__(self, place: slice) -> PackedLines: ...

    def __getitem__(self, place: int | slice) -> StatementLine | PackedLines:
        if isinstance(place, slice):
            part = copy(self)
            part._places = self._places[place]
            return part
        number, within = divmod(self._places[place], _LINES_A_PACKET)
        return self._unpack(number)[within]

    def __eq__(self, other: object) -> bool:
        """The same lines, packed or not."""
        if not isinstance(other, PackedLines | tuple):
            return NotImplemented
        return len(self) == len(other) and all(own == its for own, its in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # As of a list: nobody goes over so many lines for a place in a set.

    def __iter__(self) -> Iterator[StatementLine]:
        for number, places in groupby(self._places, key=lambda place: place // _LINES_A_PACKET):
            lines = self._unpack(number)
            yield from (lines[place % _LINES_A_PACKET] for place in places)

    def _unpack(self, number: int) -> list[StatementLine]:
        # What this very process packed.
        rows = marshal.loads(zlib.decompress(self._packets[number]))  # noqa: S302
        return [StatementLine._make(row) for row in rows]


class Statement(NamedTuple):
    """One statement: its head and its lines, numbered from 1 and grouped by section; the same for every format.

    ``reissue`` is None for what was issued with its month.
    """

    head: StatementHead
    lines: Sequence[StatementLine]
    reissue: Reissue | None = None

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of the page, in the order in which they follow each other."""
        return ("en", "fr") if self.head.language == "both" else (self.head.language,)

    def digest(self) -> str:
        """SHA-256 of all that is in the object: who has the same has the same words and figures in every format."""
        digest = hashlib.sha256(_SHAPE + _encode((self.head, self.reissue)).encode())
        lines = iter(self.lines)
        while part := tuple(islice(lines, _LINES_A_HASH)):
            digest.update(_encode(part).encode())
        return digest.hexdigest()

    def sections(self) -> Iterator[tuple[str, Sequence[StatementLine]]]:
        """Each section that has lines, in the order of the page."""
        start = 0
        for section, lines in groupby(self.lines, key=itemgetter(1)):
            stop = start + sum(1 for _ in lines)
            yield section, self.lines[start:stop]
            start = stop


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
# A column that joins the object gives it another hash, even where its value is empty.
_SHAPE = ",".join((*StatementHead._fields, *StatementLine._fields, *Reissue._fields)).encode()


def build_statements(
    heads: Iterable[tuple[object, ...]], lines: Iterable[tuple[str, tuple[object, ...]]]
) -> Iterator[Statement]:
    """Join heads with their lines, both in the order of the accounts; lines come as pairs ``(bn15, row)``.

    Raises ``ValueError`` when a head has not as many lines as it says: the two were not read from the same month.
    """
    groups = groupby(lines, key=itemgetter(0))
    waiting = next(groups, None)
    for row in heads:
        head = StatementHead._make(row)
        own: Sequence[StatementLine] = ()
        if waiting is not None and waiting[0] == head.bn15:
            found = (StatementLine._make(line) for _, line in waiting[1])
            own = PackedLines(found) if head.line_count > MOST_UNPACKED_LINES else tuple(found)
            waiting = next(groups, None)
        if len(own) != head.line_count:
            raise ValueError(f"a statement of {head.period} has {len(own)} lines instead of {head.line_count}")
        yield Statement(head, own)
    if waiting is not None:
        raise ValueError("there are statement lines without a statement")


_CSV_ROWS_A_PART = 1_000

CSV_COLUMNS = ("bn15", "period", *StatementLine._fields)
_TEXT_COLUMNS = tuple(
    StatementLine._fields.index(name)
    for name in ("transaction_id", "kind", "transaction_number", "status", "broker_bn9")
)
# A line whose texts need neither quotes nor a guard. None is no number, so it would be found here and not printed.
_PLAIN_CSV_ROW = "".join(",%d" if kind == "int" else ",%s" for kind in StatementLine.__annotations__.values()) + "\r\n"


def guard_formula(cell: str | None) -> str | None:
    """The text with a ``'`` before it where a spreadsheet would otherwise calculate it.

    One that has such marks already gets one more, so that taking one away always gives the text back.
    """
    return f"'{cell}" if cell is not None and FORMULA.match(cell) else cell


def render_csv(statement: Statement) -> bytes:
    """The lines as CSV (RFC 4180, UTF-8), one row a line, with the names of the dataset's columns.

    Amounts are integer cents, because an amount with a decimal point is text to a French spreadsheet and one with a
    comma to an English one. Names are the same in every language: the files of several accounts can be put one after
    the other. Text that a spreadsheet would calculate gets a ``'`` before it.
    """
    return b"".join(stream_csv(statement))


def stream_csv(statement: Statement) -> Iterator[bytes]:
    """The same in parts, so that nobody has to hold the whole of a statement with very many lines."""
    account = (statement.head.bn15, statement.head.period)
    lines, heading = iter(statement.lines), _csv_text([CSV_COLUMNS])
    # The names of the columns are a row of the first part.
    part = list(islice(lines, _CSV_ROWS_A_PART - 1))
    yield (heading + _csv_rows(account, part)).encode()
    while part := list(islice(lines, _CSV_ROWS_A_PART)):
        yield _csv_rows(account, part).encode()


def _csv_rows(account: tuple[str, str], lines: Sequence[StatementLine]) -> str:
    if not _are_plain(account, lines):
        return _csv_text([(*account, *_guarded(line)) for line in lines])
    # A third of the time that the csv module takes.
    row = ",".join(account) + _PLAIN_CSV_ROW
    return "".join([row % _without_none(line) for line in lines])


def _without_none(line: StatementLine) -> tuple[object, ...]:
    """The cells, with nothing in the three columns that may be NULL."""
    return (*line[:6], line[6] or "", *line[7:9], line[9] or "", *line[10:12], line[12] or "", *line[13:])


def _are_plain(account: tuple[str, str], lines: Sequence[StatementLine]) -> bool:
    """Whether no text of the lines has anything that CSV would quote, or that a spreadsheet would calculate.

    Nearly all are letters and digits, with a hyphen or a low line between them; who has anything else is looked at.
    """
    cells = [
        *account,
        *[line.transaction_id for line in lines],
        *{line.kind for line in lines},
        *[line.transaction_number for line in lines if line.transaction_number],
        *{line.status for line in lines},
        *{line.broker_bn9 for line in lines if line.broker_bn9},
    ]
    texts = ";".join(cells)
    return ";-" not in texts and texts.replace(";", "").replace("-", "").replace("_", "").isalnum()


def _guarded(line: StatementLine) -> list[object]:
    cells: list[object] = list(line)
    for column in _TEXT_COLUMNS:
        cells[column] = guard_formula(cast(str | None, cells[column]))
    return cells


def _csv_text(rows: Iterable[tuple[object, ...]]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    return out.getvalue()


def render_json(statement: Statement) -> bytes:
    """Head and lines as one JSON object; money in cents, days as ISO text, nothing rounded or translated.

    A version that was issued after its month has ``reissue`` too.
    """
    head = statement.head._asdict()
    lines = [line._asdict() for line in statement.lines]
    reissue = {} if statement.reissue is None else {"reissue": statement.reissue._asdict()}
    return (json.dumps({**head, **reissue, "lines": lines}, ensure_ascii=False, indent=2) + "\n").encode()


def read_json(content: bytes) -> Statement:
    """The statement that :func:`render_json` wrote; raises ``ValueError`` for anything else."""
    whole = json.loads(content)
    try:
        lines = tuple(StatementLine(**line) for line in whole.pop("lines"))
        reissue = whole.pop("reissue", None)
        if reissue is not None:
            reissue = Reissue(**{**reissue, "changed": tuple(reissue["changed"])})
        return Statement(StatementHead(**whole), lines, reissue)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("this is no statement") from error

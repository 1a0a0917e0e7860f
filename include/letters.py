"""Letters to those whom no message reaches: one PDF each in packs to be printed, and a list of them.

A letter says what the message would have said, from the same template (``include/templates/notice``), set by Typst like
a statement. The source has no postal address, so a letter has none: its window shows a name and an account number, and
whoever posts it adds the address from the register.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import typst

from include.documents import write_pack
from include.notice_page import LANGUAGES, Notice, NoticePages, one_line
from include.statement_pdf import make_pdf, printable_json

if TYPE_CHECKING:
    from datetime import date

    from include.notice_intents import Told

TEMPLATE = Path(__file__).parent / "templates" / "letter" / "letter.typ"
PACK_NAME = "letters"
LETTERS_PER_PACK = 1_000
INDEX = ("pack", "letter", "kind", "bn15", "language", "reason")

Row = Mapping[str, Any]


class LetterPress:
    """Makes letters of notices. One compiler with its fonts, made once a process."""

    def __init__(self, pages: NoticePages) -> None:
        self._pages = pages
        self._compiler = typst.Compiler(TEMPLATE, root=TEMPLATE.parent, ignore_system_fonts=True)

    def print_letter(self, notice: Notice, row: Row, written_on: date) -> bytes:
        """The letter of a notice as PDF/UA-1, in the account's language or in both, one version after the other.

        The same notice gives the same bytes.
        """
        versions: list[dict[str, Any]] = [
            {"lang": language, "blocks": self._pages.blocks(notice, language)}
            for language in LANGUAGES[row["language"]]
        ]
        titles = [block["text"] for version in versions for block in version["blocks"] if block["block"] == "title"]
        data = {
            "title": " / ".join(titles),
            "page_label": row["bn15"],
            "name": one_line(row["legal_name"]),
            "account": row["bn15"],
            "versions": versions,
        }
        inputs = {"letter": printable_json(data)}
        return make_pdf(self._compiler, inputs, written_on.isoformat(), f"a letter of kind {row['kind']}")


def write_letters(
    folder: Path,
    unreached: Sequence[Row],
    recipients: pa.Table,
    kinds: Collection[str],
    print_letter: Callable[[Row], bytes],
    printed: Sequence[Row] = (),
) -> int:
    """Print what reaches nobody and is of ``kinds`` into packs in ``folder``, with a list; returns how many there are.

    ``recipients`` are the rows of :func:`include.account_notices.find_recipients`. A letter is named for what it tells;
    ``letters.csv`` says in which pack it lies, and why it is one. What was ``printed`` before (:func:`read_printed`) is
    counted and listed, and not printed again; the packs are numbered after its own. Where there is no letter at all,
    nothing is written.
    """
    known = {row["letter"] for row in printed}
    reasons = {
        (row["kind"], row["about"], row["version"]): row["reason"]
        for row in unreached
        if row["kind"] in kinds and _name_of(row["kind"], row["about"], row["version"]) not in known
    }
    if not reasons and not printed:
        return 0
    abouts = pa.array(sorted({about for _, about, _ in reasons}), pa.string())
    rows: dict[str, dict[str, Any]] = {}
    for row in recipients.filter(pc.is_in(recipients["subject_of_notice"], value_set=abouts)).to_pylist():
        identity = row["kind"], row["subject_of_notice"], row["version"]
        if identity in reasons:
            rows[_name_of(*identity)] = {**row, "reason": reasons[identity]}
    names, listed = sorted(rows), list(printed)
    first = 1 + max((_number_of(row["pack"]) for row in printed), default=0)
    for number, start in enumerate(range(0, len(names), LETTERS_PER_PACK), start=first):
        pack, some = f"{PACK_NAME}-{number:04d}.zip", names[start : start + LETTERS_PER_PACK]
        write_pack(folder / pack, _printed(some, rows, print_letter))
        listed += [{"pack": pack, "letter": name, **rows[name]} for name in some]
    _write_index(folder / f"{PACK_NAME}.csv", listed)
    return len(listed)


def read_printed(folder: Path, owed: Collection[Told]) -> list[Row]:
    """The letters that lie in ``folder`` and may be posted: rows of ``letters.csv``.

    A pack of which all is still owed was left by a run that ended before it recorded that these notices reach nobody:
    it is printed again.
    """
    path = folder / f"{PACK_NAME}.csv"
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    unsettled = {_name_of(*one) for one in owed}
    settled = {row["pack"] for row in rows if row["letter"] not in unsettled}
    return [row for row in rows if row["pack"] in settled]


def place_letters(staging: Path, folder: Path, printed: Sequence[Row]) -> None:
    """Move packs and list from ``staging`` to ``folder``, and take away packs that neither list nor run knows."""
    fresh = sorted(path for path in staging.glob(f"{PACK_NAME}*"))
    known = {path.name for path in fresh} | {row["pack"] for row in printed}
    for path in fresh:
        path.replace(folder / path.name)
    for path in folder.glob(f"{PACK_NAME}*"):
        if path.name not in known:
            path.unlink()


def _name_of(kind: str, about: str, version: int) -> str:
    return f"{kind}-{about.replace('/', '-')}-{version}.pdf"


def _number_of(pack: str) -> int:
    return int(Path(pack).stem.rpartition("-")[2])


def _printed(
    names: Sequence[str], rows: Mapping[str, Row], print_letter: Callable[[Row], bytes]
) -> Iterator[tuple[str, bytes]]:
    for name in names:
        yield name, print_letter(rows[name])


def _write_index(path: Path, rows: Sequence[Row]) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, INDEX, lineterminator="\n", extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)

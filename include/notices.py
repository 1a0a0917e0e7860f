"""The notices of a statement month: who is told what, in which language, rendered and packed. Nothing is sent here.

Several Dags write here and never over each other: the month's own run publishes the dataset ``notices`` (all kinds
about accounts, and digests of them), the webinar run the dataset ``webinar_notices`` (``include.webinar_notices``), the
newsletter's run the dataset ``quarterly_notices`` (``include.quarterly``), an act about an issued statement the dataset
``reissue_notices`` (``include.statement_act_notices``), the reinstatement of one account the dataset
``reinstatement_notices`` (``include.reinstatement_notices``). They have the same columns, and each replaces only its
own packs in ``documents/notices/period=P/``.

An address is read from the source, checked and turned into a keyed hash; it stands in no dataset, document, result or
error. Only who passed validation is written to: addresses join to the accounts of the lake.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include import digests, engine
from include.account_notices import AccountNotices, find_occasions, find_recipients
from include.apply import applied_changes
from include.carm.contacts import Contacts
from include.carm.errors import DataError, Unavailable
from include.carm.notice_policy import ACCOUNT_KINDS, NoticePolicy
from include.carm.period import Period
from include.carm.recipients import address_problem, message_key, recipient_key
from include.database import write_transaction
from include.documents import read_documents, write_pack
from include.letters import LetterPress, place_letters, read_printed, write_letters
from include.notice_intents import Told, called_off_in, owed_in, require_settled, settle
from include.notice_page import (
    Message,
    NoticePages,
)
from include.outbox import Parts, keep_pack, kept_stem, plan_messages, put_pack_back
from include.statement_registry import tell_notices
from include.tellings import (
    TOLD,
    list_unreached,
    read_suppressed,
    record_digests,
    take_back,
    take_over_early,
    told_in,
)
from include.unsubscribe import proved_key

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from include.workspace import Workspace

Row = Mapping[str, Any]

MONTH_KINDS = (*ACCOUNT_KINDS, digests.KIND)
WEBINAR_KINDS = ("webinar",)

PACKS_OF = {
    "notices": MONTH_KINDS,
    "webinar_notices": WEBINAR_KINDS,
    "quarterly_notices": ("quarterly",),
    "reissue_notices": ("reissue",),
    "reinstatement_notices": ("reinstated",),
}
"""Under which names the packs of each dataset begin: its kinds, but for the notices of acts and of single accounts."""

NOTICES = pa.schema(
    [
        ("message_key", pa.string()),
        ("kind", pa.string()),
        ("recipient_key", pa.string()),
        ("language", pa.string()),
        ("subject", pa.string()),
        ("body_sha256", pa.string()),
    ]
)
"""Columns of every dataset of notices. ``body_sha256`` is taken over the text followed by the HTML."""

ACCOUNT_CHANGES = pa.schema(
    [
        ("bn15", pa.string()),
        ("action", pa.string()),
        ("program_type", pa.string()),
        ("new_program_type", pa.string()),
        ("effective_on", pa.date32()),
    ]
)
"""The changes that a live run applied, as :func:`include.apply.applied_changes` gives them."""

MESSAGES_PER_PACK = 5_000


def publish_notices(
    ws: Workspace,
    month: Mapping[str, str],
    *,
    recipient_hash_key: bytes | str,
    account_changes: pa.Table | None = None,
    policy: NoticePolicy | None = None,
) -> dict[str, Any]:
    """Render the notices about accounts of the month, and digests of them, and publish the dataset ``notices``.

    A live run tells what really happened: ``account_changes`` (see ``ACCOUNT_CHANGES``), by default what the journal
    says, and what is owed, but for what was called off since; what waits for an address that was given up is not sent.
    A shadow run tells what would be, from ``account_decisions``. What reaches nobody is counted by reason, listed
    without any address in ``unreachable.csv`` beside the packs, and printed as letters as the policy says
    (:mod:`include.letters`), where the run tells what it writes. ``policy`` is by default that of
    ``include/config/notices.yaml``.

    Returns counts: ``{"notices": n, "by_kind": {kind: {language: n}}, "unreachable": {kind: {reason: n}}, "packs": n,
    "letters": n, "sha256": hash of the dataset}``. Raises ``DataError`` when a dataset that it reads was never sealed,
    and when the month owes a notice that is neither told nor known to reach nobody; ``UsageError`` for a hash key that
    is too short.
    """
    period, lake = Period.parse(month["period"]), ws.lake(month["area"])
    is_live, policy = month["effects"] == "live", policy or NoticePolicy.load()
    hash_key, contacts = proved_key(ws, recipient_hash_key), Contacts.load()
    if account_changes is None:
        account_changes = applied_changes(ws, period) if is_live else ACCOUNT_CHANGES.empty_table()
    # A live run of an issued month writes beside the record, and tells nobody: to it everything is new.
    tells = _is_telling(month)
    if tells:
        with write_transaction(ws.operations) as connection:
            take_over_early(connection, str(period))
    with ws.operations.connect() as connection:
        told = told_in(connection, str(period)) if tells else TOLD.empty_table()
        called_off = called_off_in(connection, str(period)) if tells else frozenset()
        with ws.spill_folder() as spill, closing(engine.connect(spill_folder=spill)) as con:
            changes: dict[str, Any] = {"account_changes": account_changes, "is_live": is_live}
            occasions = find_occasions(ws, con, connection, lake, period, policy, **changes)
            recipients = find_recipients(ws, con, lake, period, policy, occasions)
            addressed, unreachable = sort_out(recipients, hash_key, lambda row: row["subject_of_notice"])
            addressed = _without_called_off(addressed, called_off, told)
            unreachable = [row for row in unreachable if _identity(row) not in called_off]
            gathered = digests.gather_digests(con, addressed, told, period, policy, message_key)
    pages, notices = NoticePages(contacts), AccountNotices.of_month(ws, period, contacts)

    def render(row: Row) -> Message:
        if row["kind"] != digests.KIND:
            return pages.render(notices.notice_of(row), row["language"])
        lines = gathered.lines[row["message_key"]]
        notice = digests.digest_notice(lines, row["version"], period, ws.calendar, contacts)
        return pages.render(notice, row["language"])

    def print_letters(folder: Path, unreached: Sequence[Row], printed: Sequence[Row]) -> int:
        return write_letters(folder, unreached, recipients, policy.letters, letter_printer(pages, notices), printed)

    packs = {kind: kind for kind in MONTH_KINDS}
    return publish_messages(
        ws,
        month,
        "notices",
        packs,
        gathered.messages,
        unreachable,
        render,
        lists_unreachable=True,
        replaced=gathered.tells,
        settles_month=True,
        print_letters=print_letters,
    )


def letter_printer(pages: NoticePages, notices: AccountNotices) -> Callable[[Row], bytes]:
    """What prints the letter of a row of :func:`include.account_notices.find_recipients`."""
    press = LetterPress(pages)
    return lambda row: press.print_letter(notices.notice_of(row), row, notices.written_on)


def _without_called_off(addressed: pa.Table, called_off: Collection[Told], told: pa.Table) -> pa.Table:
    """The messages but for those that tell what was called off to people who were not told before."""
    if not called_off:
        return addressed
    names = ("recipient_key", "kind", "about", "version")
    known = set(zip(*(told[name].to_pylist() for name in names), strict=True))
    rows = zip(*(addressed[name].to_pylist() for name in names), strict=True)
    return addressed.filter(pa.array([row[1:] not in called_off or row in known for row in rows], pa.bool_()))


def leave_out(reachable: pa.Table, standing: Sequence[Row]) -> pa.Table:
    """The messages but for those that stand in the outbox."""
    known = pa.array([row["message_key"] for row in standing], pa.string())
    return reachable.filter(pc.invert(pc.is_in(reachable["message_key"], value_set=known)))


def _is_telling(month: Mapping[str, str]) -> bool:
    """Whether what the run writes is told: it is live, and writes the record."""
    return month["effects"] == "live" and month["area"] == "lake"


def count_true_notices(ws: Workspace, area: str, up_to: Period | None = None) -> int:
    """Hash every notice of the area's months anew; returns how many there are.

    Raises ``DataError`` naming the first pack whose notices are not those that the datasets list.
    """
    notices = 0
    lake = ws.lake(area)
    for dataset, packs in PACKS_OF.items():
        for period in lake.own_periods(dataset, up_to):
            rows = pq.read_table(lake.file(dataset, period), columns=["message_key", "body_sha256"])
            told = dict(zip(*(column.to_pylist() for column in rows.columns), strict=True))
            folder = ws.documents(area) / "notices" / f"period={period}"
            for pack in sorted(path for name in packs for path in folder.glob(f"{name}-*.zip")):
                documents = dict(read_documents(pack))
                for key in sorted({name.partition(".")[0] for name in documents}):
                    body = documents.get(f"{key}.txt", b"") + documents.get(f"{key}.html", b"")
                    if hashlib.sha256(body).hexdigest() != told.pop(key, None):
                        raise DataError(f"{pack} has a notice that is not the one that was rendered: {_PUT_BACK}")
                    notices += 1
            if told:
                raise DataError(
                    f"{len(told):,} of the {dataset} of {period} are in no pack below {folder}: {_PUT_BACK}"
                )
    return notices


_PUT_BACK = "restore the documents from a backup, or run the month again if it is not issued"


def _rows(table: pa.Table) -> Iterator[Row]:
    # Rows as dictionaries take many times the room of the table they come from, so few at a time.
    for start in range(0, table.num_rows, 4_096):
        yield from table.slice(start, 4_096).to_pylist()


def sort_out(table: pa.Table, hash_key: bytes, subject_of: Callable[[Row], str]) -> tuple[pa.Table, list[Row]]:
    """Whom a message can reach, by kind and message key; and of the rest ``kind, about, version, bn15, reason``.

    ``about`` is what the message is about, whoever it goes to. ``bn15`` is empty for the distribution list, where there
    is nothing to name but the address itself.
    """
    keys: list[tuple[str | None, str | None, str | None]] = []
    unreachable: list[Row] = []
    for row in _rows(table):
        problem, about = address_problem(row["address"]), subject_of(row)
        if problem:
            names = {"kind": row["kind"], "about": about, "version": row["version"]}
            unreachable.append({**names, "bn15": row.get("bn15") or "", "reason": problem})
            keys.append((None, None, None))
        else:
            recipient = recipient_key(row["address"], hash_key)
            keys.append((recipient, message_key(row["kind"], recipient, about, row["version"]), about))
    for position, name in enumerate(("recipient_key", "message_key", "about")):
        table = table.append_column(name, pa.array([found[position] for found in keys], pa.string()))
    reachable = table.filter(table["message_key"].is_valid())
    return reachable.sort_by([("kind", "ascending"), ("message_key", "ascending")]), unreachable


def publish_messages(
    ws: Workspace,
    month: Mapping[str, str],
    dataset: str,
    packs_of: Mapping[str, str],
    reachable: pa.Table,
    unreachable: Sequence[Row],
    render: Callable[[Row], Message],
    *,
    lists_unreachable: bool = False,
    standing: Sequence[Row] = (),
    record: Callable[[Connection], None] | None = None,
    replaced: Mapping[str, Sequence[Told]] | None = None,
    settles_month: bool = False,
    print_letters: Callable[[Path, Sequence[Row], Sequence[Row]], int] | None = None,
) -> dict[str, Any]:
    """Render and pack all messages, then move the packs into place and seal the dataset, and count.

    ``packs_of`` gives for each kind of message the name under which its packs begin. ``standing`` are rows of the
    outbox that belong to the dataset too: their packs stay as they are, and further ones are numbered after them.
    ``record`` writes what goes with the messages into the same transaction, where the run is live.

    ``replaced`` gives for each digest, by its message key, what it takes the place of. What reaches one person is told,
    so ``unreachable`` may name it for another. With ``settles_month`` these are all messages of their packs' names that
    the month has: of those that wait none is sent that is not among them, and nothing may be owed afterwards
    (``DataError``, and nothing is recorded). ``print_letters`` writes letters of what reaches nobody, beside those that
    were printed before, and says how many there are; it is asked only where the run tells.

    Packs are made in the staging folder, so a run that ends early leaves what was there before; one that ends between
    the packs and the seal is completed by the next.
    """
    period, keys = month["period"], reachable["message_key"].to_pylist()
    if len(set(keys)) < len(keys):
        raise DataError(
            f"{len(keys) - len(set(keys))} notices of {period} have the key of another: "
            "look for an account or a statement that stands twice in the month's datasets"
        )
    is_live, replaced = _is_telling(month), replaced or {}
    with ws.operations.connect() as connection:
        unreachable = find_unreached(reachable, unreachable, replaced, read_suppressed(connection))
    staging = ws.staging(month["run_id"], dataset)
    folder = ws.documents(month["area"]) / "notices" / f"period={period}"
    written: list[dict[str, Any]] = []
    with _plain_disk_errors(period):
        rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        standing_packs = {kept_stem(row["pack"]): row["pack"] for row in standing}
        for kind, name in sorted(packs_of.items()):
            messages = reachable.filter(pc.equal(reachable["kind"], kind))
            first = 1 + max((int(stem.rpartition("-")[2]) for stem in standing_packs), default=0)
            for number, start in enumerate(range(0, messages.num_rows, MESSAGES_PER_PACK), start=first):
                written += _write_pack(ws, staging / f"{name}-{number:04d}.zip", messages, start, render)
        packs = {path.name for path in staging.iterdir()} | {f"{stem}.zip" for stem in standing_packs}
        if lists_unreachable:
            write_unreachable(staging / "unreachable.csv", unreachable)
        folder.mkdir(parents=True, exist_ok=True)
        letters = 0
        if is_live and print_letters:
            with ws.operations.connect() as connection:
                printed = read_printed(folder, owed_in(connection, period))
            letters = print_letters(staging, unreachable, printed)
            place_letters(staging, folder, printed)
        for stem, pack in sorted(standing_packs.items()):
            put_pack_back(ws, pack, folder / f"{stem}.zip")
        for path in sorted(staging.iterdir()):
            path.replace(folder / path.name)
        # A run before this one may have had more messages, and so more packs.
        for path in (path for name in packs_of.values() for path in folder.glob(f"{name}-*.zip")):
            if path.name not in packs:
                path.unlink()
        rmtree(staging)
    listed = sorted([*standing, *written], key=lambda row: (row["kind"], row["message_key"]))
    lake = ws.lake(month["area"])
    seal = lake.publish(dataset, period, pa.Table.from_pylist(listed, NOTICES))
    with write_transaction(ws.operations) as connection:
        lake.seal([seal], run_id=month["run_id"], connection=connection)
        if is_live and record is not None:
            record(connection)
        if is_live and settles_month:
            take_back(connection, period, packs_of, keys)
        addressed = ({**row, "period": period} for row in written)
        planned = plan_messages(connection, addressed, is_live=is_live, run_id=month["run_id"])
        if is_live:
            record_digests(connection, replaced)
            unreached = {_identity(row): row["reason"] for row in unreachable}
            told = (one for row in written for one in _told_by(row, replaced))
            settle(connection, (one for one in told if one not in unreached), unreached)
            if settles_month:
                require_settled(connection, period)
        if lake.area == "lake":
            tell_notices(connection, dataset, period, seal.sha256)
    if is_live and lists_unreachable:
        list_unreached_in(ws, folder, period, unreachable)
    return {
        "notices": len(listed),
        "by_kind": _count(packs_of, listed, "language"),
        "unreachable": _count(packs_of, unreachable, "reason"),
        "packs": len(packs),
        "letters": letters,
        "outbox": planned,
        "sha256": seal.sha256,
    }


def _identity(row: Row) -> Told:
    return row["kind"], row["about"], row["version"]


def _told_by(row: Row, replaced: Mapping[str, Sequence[Told]]) -> Sequence[Told]:
    """What a message tells: itself, or, of a digest, what it takes the place of."""
    return replaced.get(row["message_key"]) or (_identity(row),)


_REASONS = ("no_address", "unusable_address", "suppressed")
"""Why a message reaches nobody; of several reasons the one that says most is told, and that is the last of these."""


def find_unreached(
    reachable: pa.Table,
    unreachable: Sequence[Row],
    replaced: Mapping[str, Sequence[Told]],
    suppressed: Collection[str],
) -> list[Row]:
    """What reaches nobody at all, once each: ``kind, about, version, bn15, reason``, as it was in ``unreachable``.

    A message to one of the recipients ``suppressed`` reaches nobody either.
    """
    found = [(_identity(row), row["reason"], row) for row in unreachable]
    # Of a distribution list there is nothing to name but the address itself; the outbox has the state of its message.
    if suppressed and "bn15" in reachable.column_names:
        is_suppressed = pc.is_in(reachable["recipient_key"], value_set=pa.array(sorted(suppressed), pa.string()))
        for row in _rows(reachable.filter(is_suppressed)):
            for kind, about, version in _told_by(row, replaced):
                names = {"kind": kind, "about": about, "version": version}
                bn15 = row.get("bn15") or about.partition("/")[0]
                found.append(((kind, about, version), "suppressed", {**names, "bn15": bn15, "reason": "suppressed"}))
        reachable = reachable.filter(pc.invert(is_suppressed))
    # Distribution lists know people by nothing but their address, and each of them is counted.
    of_account = [one for one in found if one[2]["bn15"]]
    abouts = pa.array([about for (_, about, _), _, _ in of_account], pa.string())
    reached = {_identity(row) for row in _rows(reachable.filter(pc.is_in(reachable["about"], value_set=abouts)))}
    if replaced:
        kept = set(reachable["message_key"].to_pylist())
        reached |= {one for key, told in replaced.items() if key in kept for one in told}
    worst: dict[Told, Row] = {}
    for identity, reason, row in of_account:
        if identity not in reached:
            before = worst.get(identity)
            if before is None or _REASONS.index(before["reason"]) < _REASONS.index(reason):
                worst[identity] = row
    rest: list[Row] = [row for _, _, row in found if not row["bn15"]]
    return [*rest, *(worst[identity] for identity in sorted(worst))]


def _write_pack(
    ws: Workspace, path: Path, messages: pa.Table, start: int, render: Callable[[Row], Message]
) -> list[dict[str, Any]]:
    """Render the messages of one pack, and keep it in the outbox; returns what they are, a row a message."""
    written: list[dict[str, Any]] = []
    pack = write_pack(path, _documents(messages.slice(start, MESSAGES_PER_PACK), render, written))
    kept_as = keep_pack(ws, path, pack.sha256)
    return [{**row, "pack": kept_as} for row in written]


_OF_ROW = ("message_key", "kind", "recipient_key", "about", "version", "address", "language")


def _documents(
    messages: pa.Table, render: Callable[[Row], Message], written: list[dict[str, Any]]
) -> Iterator[tuple[str, bytes]]:
    """The members of one pack, sorted by name; what they are is added to ``written``."""
    for row in _rows(messages):
        message = render(row)
        parts = Parts(message.text, message.html, message.calendars)
        hashes = {"body_sha256": parts.body_sha256, "calendar_sha256": parts.calendar_sha256}
        written.append({**{name: row[name] for name in _OF_ROW}, "subject": message.subject, **hashes})
        yield from parts.members(row["message_key"])


def _count(kinds: Iterable[str], rows: Sequence[Row], by: str) -> dict[str, dict[str, int]]:
    counted = {kind: Counter(row[by] for row in rows if row["kind"] == kind) for kind in kinds}
    return {kind: dict(sorted(counts.items())) for kind, counts in counted.items()}


def list_unreached_in(ws: Workspace, folder: Path, period: str, of_run: Sequence[Row] = ()) -> None:
    """Write ``unreachable.csv``: what the run found, and what became of messages since they were planned."""
    with ws.operations.connect() as connection:
        found = {_identity(row): row for row in (*list_unreached(connection, period), *of_run)}
    fresh = folder / f".unreachable.{os.getpid()}.csv"
    with _plain_disk_errors(period):
        fresh.unlink(missing_ok=True)
        write_unreachable(fresh, [found[one] for one in sorted(found)])
        fresh.replace(folder / "unreachable.csv")


def write_unreachable(path: Path, rows: Sequence[Row]) -> None:
    """Write kind, account and reason of what reaches nobody; the file must not be there yet."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, ("kind", "bn15", "reason"), lineterminator="\n", extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)


@contextmanager
def _plain_disk_errors(period: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"cannot write the notices of {period} ({error.strerror or error}): "
            "make room in the data folder, or make it writable, and run the month again"
        ) from error

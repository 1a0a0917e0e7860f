"""Delivery status notifications (RFC 3464, RFC 6533) read from a mailbox: who has a dead address is not written to.

Only what says that the *address* is dead counts: ``Action: failed`` with a status of ``DEAD_ADDRESS``. A full mailbox
(5.2.2), a message that policy or its content refused (5.7.x, 5.6.x), a route or a system in trouble (5.3.x, 5.4.x) and
everything temporary (4.x.x) leave the address as it is; so does 5.1.0, which some servers say of the sender.

Anybody can write a report. So one counts where it returns a message of ours: its Message-ID is ``<message_key@host>``,
and nobody but its recipient, and the servers between, knows that key. Who reads a mailbox that nobody outside can write
to may also let the address that a report names count (``by_address``), and then only where we have written to it.

A report that returns a message of the distribution list stops the list alone. Newsletters are passed on, and with one
goes the key of its recipient, in the unsubscribe link: nobody shall stop the statements of another by it.

No address leaves this module: what cannot be read is told by file and number.
"""

from __future__ import annotations

import mailbox
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from email.errors import MessageError
from email.message import Message
from email.parser import BytesParser, HeaderParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, or_, select, update

from include.carm.counts import tell_count
from include.carm.errors import Unavailable, UsageError
from include.carm.recipients import recipient_key
from include.database import in_slices, write_transaction
from include.operations_notice_tables import OUTBOX
from include.outbox import LIST_KINDS
from include.unsubscribe import KEYS_A_QUERY, canonical_address, require_true_key, suppress

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from include.workspace import Workspace

DEAD_ADDRESS = frozenset(
    {
        "5.1.1",  # no such mailbox
        "5.1.2",  # no such system
        "5.1.3",  # no address at all
        "5.1.4",  # more than one mailbox has it, so none gets it
        "5.1.6",  # moved, and nobody knows where to
        "5.1.10",  # the domain takes no mail (null MX, RFC 7505)
        "5.2.1",  # the mailbox is disabled
    }
)
"""The status codes (RFC 3463 and its registry) of an address that no message reaches. All others of the class 5.1 are
about the sender (5.1.7, 5.1.8), about nothing certain (5.1.0, 5.1.9), or no failure (5.1.5)."""

MOST_MESSAGE_BYTES = 1_048_576
"""A report returns one message of ours at most, which is far smaller."""

MOST_RECIPIENTS = 100
MOST_PROBLEMS = 20
"""Of how many messages that cannot be read the result says which; it counts all."""

COUNTS = ("messages", "not_a_report", "unreadable", "temporary", "address_lives", "unmatched", "dead")

_STATUS = re.compile(r"([245])\.\d{1,3}\.\d{1,3}\b")
_MESSAGE_ID = re.compile(r"<([0-9a-f]{32})@[^<>@\s]+>")
_RETURNED = ("message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers")
_REPORTED = ("message/delivery-status", "message/global-delivery-status")
# What the parser of the standard library is known to raise for bytes that are no message.
_PARSER_ERRORS = (MessageError, ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError)


@dataclass(frozen=True)
class Fate:
    """What a report says of one recipient; ``addresses`` are the spellings it may have meant."""

    is_failed: bool
    status: str
    addresses: frozenset[str]

    @property
    def is_dead(self) -> bool:
        """Whether no message will reach the address any more."""
        return self.is_failed and self.status in DEAD_ADDRESS


@dataclass(frozen=True)
class Report:
    """What a delivery report says; ``names_a_message``: it returns one, whose key stands here if it may be ours."""

    fates: tuple[Fate, ...]
    message_key: str | None
    names_a_message: bool


class NoReport(Exception):
    """A message that is no delivery report: an answer of a person, an absence note."""


class Unreadable(Exception):
    """A message that cannot be read as what it says it is; the text says why, and holds nothing of it."""


def import_bounces(ws: Workspace, path: Path, *, on: date, hash_key: bytes, by_address: bool = False) -> dict[str, Any]:
    """Suppress who has a dead address, by the reports in ``path``: an mbox file, a Maildir, or a folder of .eml files.

    The files are only read. The same reports again suppress nobody anew. A message about an account that came back has
    failed, so where no other told the same it reaches nobody (:func:`include.tellings.list_unreached`).

    Raises ``UsageError`` where ``path`` is none of the three, ``Unavailable`` where it cannot be read. Returns the
    ``COUNTS`` of messages, each in one of them; ``suppressed``, ``suppressed_before`` and ``stopped`` as ``suppress``
    does; ``off_the_list``, how many are stopped for the list alone; and ``problems``: ``{"file", "reason"}`` of the
    first messages that cannot be read.
    """
    counts: Counter[str] = Counter()
    problems: list[dict[str, str]] = []
    dead: list[Report] = []
    for name, content in _open_messages(path):
        counts["messages"] += 1
        try:
            report = read_report(content)
        except NoReport:
            counts["not_a_report"] += 1
        except Unreadable as error:
            counts["unreadable"] += 1
            problems.append({"file": name, "reason": str(error)})
        else:
            if any(fate.is_dead for fate in report.fates):
                dead.append(report)
            else:
                counts[_kind_of(report)] += 1
    with write_transaction(ws.operations) as connection:
        require_true_key(connection, hash_key)
        matched, recipients, came_back = _match(connection, dead, hash_key, by_address=by_address)
        for status, keys in came_back.items():
            for some in in_slices(sorted(keys), KEYS_A_QUERY):
                which = OUTBOX.c.message_key.in_(some), _WAS_SENT
                connection.execute(update(OUTBOX).where(*which).values(state="failed", reply=status))
        facts: dict[str, Any] = {"reason": "bounced", "on": on, "source": "bounce"}
        done = suppress(connection, recipients["all"], **facts)
        of_list = suppress(connection, recipients["list"] - recipients["all"], scope="list", **facts)
    counts.update(matched)
    done["stopped"] += of_list["stopped"]
    done["off_the_list"] = of_list["suppressed"]
    return {**{name: counts[name] for name in COUNTS}, **done, "problems": problems[:MOST_PROBLEMS]}


def bounce_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """What :func:`import_bounces` returned, for people."""
    yield f"{tell_count(facts['messages'], 'message')}, of which"
    for name, what in _WORDS.items():
        if facts[name]:
            yield f"{facts[name]:>9,}  {what}"
    yield (
        f"Addresses that are not written to any more: {facts['suppressed']:,}; "
        f"were not before: {facts['suppressed_before']:,}"
    )
    if facts["off_the_list"]:
        yield f"Addresses that get no message of the distribution list any more: {facts['off_the_list']:,}"
    if facts["stopped"]:
        yield f"{tell_count(facts['stopped'], 'message')} planned for them will not be sent"
    for problem in facts["problems"]:
        yield f"{problem['file']} cannot be read: {problem['reason']}"


_WORDS = {
    "dead": "say that an address of ours is dead",
    "address_lives": "say of a failure that is not the address's",
    "temporary": "say of a delay, or of a delivery",
    "unmatched": "say that an address is dead, and return no message of ours",
    "not_a_report": "are no delivery report",
    "unreadable": "cannot be read",
}


# --- One message ------------------------------------------------------------------------------------------------


def read_report(content: bytes) -> Report:
    """What a message says as a delivery report. Raises ``NoReport`` and ``Unreadable``, and nothing else."""
    if len(content) > MOST_MESSAGE_BYTES:
        raise Unreadable(f"it is larger than {MOST_MESSAGE_BYTES:,} bytes")
    try:
        # The lenient policy: one that checks headers refuses what servers really write.
        report = _find_report(BytesParser().parsebytes(content))
        parts = [part for part in _children(report) if isinstance(part, Message)]
        reported = next((part for part in parts if part.get_content_type() in _REPORTED), None)
        returned = next((part for part in parts if part.get_content_type() in _RETURNED), None)
        if reported is None:
            raise Unreadable("it says that it is a delivery report, and has no part that reports")
        blocks = [HeaderParser().parsestr(block) for block in re.split(r"\n(?:[ \t]*\n)+", _text_of(reported).strip())]
        fates = tuple(_fate_of(block) for block in blocks if "Final-Recipient" in block)
        returned_id = None if returned is None else _message_id_of(returned)
    except _PARSER_ERRORS as error:
        raise Unreadable(f"its parts cannot be taken apart ({type(error).__name__})") from None
    if not fates:
        raise Unreadable("its report names no recipient")
    if len(fates) > MOST_RECIPIENTS:
        raise Unreadable(f"its report names more than {MOST_RECIPIENTS} recipients")
    if not all(_STATUS.fullmatch(fate.status) for fate in fates):
        raise Unreadable("its report gives a recipient no status of the form 5.1.1")
    key = _MESSAGE_ID.fullmatch(returned_id.strip()) if returned_id else None
    return Report(fates, key[1] if key else None, returned_id is not None)


def _find_report(message: Message) -> Message:
    """The report in a message: itself, or a part beside what a gateway added. Not what is forwarded or returned."""
    if message.get_content_type() == "multipart/report":
        # A report type may be missing, but not be another: disposition notifications say that a message was read.
        if str(message.get_param("report-type") or "delivery-status").lower() != "delivery-status":
            raise NoReport
        return message
    if message.get_content_type() == "multipart/mixed":
        for part in _children(message):
            if isinstance(part, Message) and part.get_content_type() == "multipart/report":
                return _find_report(part)
    raise NoReport


def _children(message: Message) -> Sequence[Any]:
    payload = message.get_payload()
    return payload if isinstance(payload, list) else ()


def _text_of(part: Message) -> str:
    """The fields of a report, block by block, as they were written."""
    # The parser has made messages of the blocks (or one of all): put together again they are what stood there.
    flat = b"\n".join(child.as_bytes() for child in _children(part) if isinstance(child, Message))
    encoding = str(part.get("Content-Transfer-Encoding", "")).strip().lower()
    if encoding in ("base64", "quoted-printable"):
        inner = Message()
        inner["Content-Transfer-Encoding"] = encoding
        inner.set_payload(flat.strip().decode("ascii", "replace"))
        flat = _bytes_of(inner)
    return flat.decode("utf-8", "replace").replace("\r\n", "\n")


def _bytes_of(part: Message) -> bytes:
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _fate_of(block: Message) -> Fate:
    addresses = {
        spelling
        for name in ("Original-Recipient", "Final-Recipient")
        if name in block
        for spelling in _spellings(str(block[name]))
    }
    # A server may add words of its own after the code.
    status = _STATUS.match(str(block.get("Status", "")).strip())
    action = str(block.get("Action", "")).strip().lower()
    return Fate(action == "failed", status[0] if status else "", frozenset(addresses))


def _spellings(field: str) -> Iterator[str]:
    """What an address field (``rfc822; name@host``) may mean: as it stands, and with what it encodes decoded."""
    kind, _, text = field.partition(";")
    address = "".join(text.split()).strip("<>")
    if not address:
        return
    yield canonical_address(address)
    if kind.strip().lower() == "utf-8":
        yield canonical_address(re.sub(r"\\x\{([0-9A-Fa-f]{1,6})\}", lambda found: _character(found[1]), address))
    else:
        # xtext (RFC 3461): a server that repeats what it was told leaves it encoded. A plus may also be a plus.
        yield canonical_address(re.sub(r"\+([0-9A-F]{2})", lambda found: _character(found[1]), address))


def _character(digits: str) -> str:
    number = int(digits, 16)
    return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else "\ufffd"


def _message_id_of(part: Message) -> str | None:
    """The Message-ID of what a report returns: a whole message, or its headers alone."""
    if part.get_content_type() == "text/rfc822-headers":
        head = HeaderParser().parsestr(_bytes_of(part).decode("utf-8", "replace"))
    else:
        head = next((child for child in _children(part) if isinstance(child, Message)), Message())
    return str(head["Message-ID"]) if "Message-ID" in head else None


def _kind_of(report: Report) -> str:
    """In which count a report belongs that says of no dead address."""
    return "address_lives" if any(fate.is_failed for fate in report.fates) else "temporary"


# --- Whose it is ------------------------------------------------------------------------------------------------


def _match(
    connection: Connection, reports: Sequence[Report], hash_key: bytes, *, by_address: bool
) -> tuple[Counter[str], dict[str, set[str]], dict[str, set[str]]]:
    """How many of the reports about dead addresses are of what we sent; who has them, by scope; what came back.

    That is the keys of messages, by the status that the report gives (RFC 3463).
    """
    keys_of = {
        address: recipient_key(address, hash_key)
        for report in reports
        for fate in report.fates
        for address in fate.addresses
    }
    sent = _recipients_of(connection, {report.message_key for report in reports if report.message_key})
    # Where the addresses of reports are not believed, nobody is known by one.
    written_to = _written_to(connection, set(keys_of.values())) if by_address else set()
    counts: Counter[str] = Counter()
    recipients: dict[str, set[str]] = {"all": set(), "list": set()}
    came_back: dict[str, set[str]] = defaultdict(set)
    for report in reports:
        named = {fate: {keys_of[address] for address in fate.addresses if address in keys_of} for fate in report.fates}
        recipient, kind = sent.get(report.message_key or "", (None, ""))
        # Who gets a newsletter passed on can read its Message-ID, and make up a report with it.
        scope = "list" if kind in LIST_KINDS else "all"
        if recipient is not None:
            # Where the address is one that forwards, the report names only others: then all of them must be dead.
            own = [fate for fate, keys in named.items() if recipient in keys] or report.fates
            found = {recipient} if all(fate.is_dead for fate in own) else set()
            counts["dead" if found else "address_lives"] += 1
            if found and report.message_key and scope == "all":
                came_back[own[0].status].add(report.message_key)
        elif not report.names_a_message:
            found = {key for fate, keys in named.items() if fate.is_dead for key in keys & written_to}
            counts["dead" if found else "unmatched"] += 1
        else:
            found = set()
            counts["unmatched"] += 1
        recipients[scope] |= found
    return counts, recipients, came_back


def _recipients_of(connection: Connection, message_keys: Collection[str]) -> dict[str, tuple[str, str]]:
    """Recipient and kind of each of these messages that was handed to the mail server."""
    found: dict[str, tuple[str, str]] = {}
    columns = (OUTBOX.c.message_key, OUTBOX.c.recipient_key, OUTBOX.c.kind)
    for keys in in_slices(sorted(message_keys), KEYS_A_QUERY):
        query = select(*columns).where(_WAS_SENT, OUTBOX.c.message_key.in_(keys))
        found.update({row.message_key: (row.recipient_key, row.kind) for row in connection.execute(query)})
    return found


def _written_to(connection: Connection, recipient_keys: Collection[str]) -> set[str]:
    found: set[str] = set()
    for keys in in_slices(sorted(recipient_keys), KEYS_A_QUERY):
        query = select(OUTBOX.c.recipient_key).where(_WAS_SENT, OUTBOX.c.recipient_key.in_(keys)).distinct()
        found.update(connection.execute(query).scalars())
    return found


# Of one that came back before the reply is the status of its report, 5.1.1, which no mail server's answer is.
_WAS_SENT = or_(OUTBOX.c.state.in_(("sent", "unknown")), and_(OUTBOX.c.state == "failed", OUTBOX.c.reply.contains(".")))


# --- Where messages lie -----------------------------------------------------------------------------------------


def _open_messages(path: Path) -> Iterator[tuple[str, bytes]]:
    """Each message with a name for people, cut off just beyond what is read of one."""
    try:
        if not path.exists():
            raise UsageError(f"there is no {path}: name an mbox file, a Maildir or a folder of .eml files")
        if path.is_dir():
            yield from _read_files(path)
        else:
            yield from _read_mbox(path)
    except OSError as error:
        raise Unavailable(
            f"cannot read {path} ({error.strerror or type(error).__name__}): check who may read it"
        ) from error


def _read_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The messages of a Maildir (its folders ``new`` and ``cur``) or of the .eml files in a folder."""
    if (folder / "new").is_dir() and (folder / "cur").is_dir():
        paths: Iterable[Path] = [*(folder / "new").iterdir(), *(folder / "cur").iterdir()]
    else:
        paths = [path for path in folder.iterdir() if path.suffix.lower() == ".eml"]
        if not paths:
            raise UsageError(f"{folder} is no Maildir and has no .eml file: name the folder in which the reports lie")
    # A device or a pipe could keep the reader waiting for ever.
    files = sorted(path for path in paths if path.is_file() and not path.name.startswith("."))
    for number, file in enumerate(files, start=1):
        with file.open("rb") as content:
            # A mail program may have named a file after its sender.
            name = f"file {number} of {folder.name}" if "@" in file.name else file.name
            yield name, content.read(MOST_MESSAGE_BYTES + 1)


def _read_mbox(file: Path) -> Iterator[tuple[str, bytes]]:
    if not file.is_file():
        raise UsageError(
            f"{file} is neither a file nor a folder: name an mbox file, a Maildir or a folder of .eml files"
        )
    with file.open("rb") as content:
        if content.read(5) not in (b"", b"From "):
            raise UsageError(
                f"{file} is no mbox file, whose first word is From: put single messages as .eml files into a folder"
            )
    box = mailbox.mbox(file, create=False)
    name = "the mailbox" if "@" in file.name else file.name
    try:
        for number, key in enumerate(box.keys(), start=1):
            yield f"{name}, message {number}", box.get_file(key).read(MOST_MESSAGE_BYTES + 1)
    finally:
        # Nothing was changed, so nothing is written.
        box.close()

"""Packs of documents: many small files in few zip files that anybody can open, and any one found at once.

A pack is stored, not compressed: a stored zip has the same bytes wherever it is written, and a document is read with
one seek. Its last member ``SHA256SUMS`` lists the hash of every other, so that ``unzip`` and ``sha256sum -c`` are all
that is needed to prove a pack. ``docs/adr/0042-document-packs.md`` tells why zip.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BufferedRandom
from pathlib import Path
from typing import BinaryIO, cast

from include.carm.errors import DataError, Unavailable

SUMS_NAME = "SHA256SUMS"

_END_OF_DIRECTORY = struct.Struct("<4s4H2LH")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
# The oldest day that zip knows, 1980-01-01: the time of writing is no property of a document.
_NO_DAY = 1 << 5 | 1
_ZIP_2, _UNIX = 20, 3
_OWNER_ONLY = 0o600
_BYTES_AT_ONCE = 65_536
# What every tool can open; more would need the extension for large files.
_MOST_BYTES = 0x7FFF_FFFF


@dataclass(frozen=True)
class Pack:
    """One written pack: ``documents`` counts its members without the list of hashes; ``sha256`` is of the file."""

    path: Path
    documents: int
    sha256: str


def write_pack(path: Path, documents: Iterable[tuple[str, bytes | Iterable[bytes]]]) -> Pack:
    """Write ``documents`` (pairs of name and content, sorted by name) as one zip, moved into place when complete.

    A content may come in parts: each is written before the next is asked for. The same documents give the same bytes,
    in whatever parts. The file is readable by its owner alone. Raises ``Unavailable`` where it cannot be written,
    ``ValueError`` for names out of order, because a pack is searched by the order of its names, and for too much.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        opened = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC, _OWNER_ONLY)
        with cast(BufferedRandom, os.fdopen(opened, "w+b", buffering=_BYTES_AT_ONCE)) as file:
            count = _write_members(file, documents)
            file.flush()
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise Unavailable(
            f"cannot write {path} ({error.strerror or error}): make room in the data folder, or make it writable, "
            "and run the month again"
        ) from error
    finally:
        fresh.unlink(missing_ok=True)
    return Pack(path, count, digest)


def _write_members(file: BinaryIO, documents: Iterable[tuple[str, bytes | Iterable[bytes]]]) -> int:
    """Write what ``zipfile`` would write, with two calls a document where it takes a dozen; returns their number."""
    sums, entries, last = list[str](), list[bytes](), ""
    for name, content in documents:
        if name <= last:
            raise ValueError(f"the documents of a pack must be sorted: {name} comes after {last}")
        last = name
        entry, digest = _write_member(file, name, content)
        entries.append(entry)
        sums.append(f"{digest}  {name}\n")
    entry, _ = _write_member(file, SUMS_NAME, "".join(sums).encode())
    directory, start = b"".join([*entries, entry]), file.tell()
    file.write(directory)
    count = len(entries) + 1
    file.write(_END_OF_DIRECTORY.pack(b"PK\5\6", 0, 0, count, count, len(directory), start, 0))
    return len(entries)


def _write_member(file: BinaryIO, name: str, content: bytes | Iterable[bytes]) -> tuple[bytes, str]:
    """Write a document; returns its entry for the list at the end, and its SHA-256."""
    start = file.tell()
    parts = iter([content] if isinstance(content, bytes) else content)
    first = _gather(parts)
    digest, checksum, size = hashlib.sha256(first), zlib.crc32(first), len(first)
    file.write(_pack_header(name, checksum, size))
    file.write(first)
    while part := _gather(parts):
        digest.update(part)
        checksum, size = zlib.crc32(part, checksum), size + len(part)
        file.write(part)
    if size > len(first):
        end = file.tell()
        file.seek(start)
        file.write(_pack_header(name, checksum, size))
        file.seek(end)
    if start + size > _MOST_BYTES:
        raise ValueError(f"a pack holds at most {_MOST_BYTES:,} bytes: put fewer documents into it than up to {name}")
    return _pack_entry(name, checksum, size, start), digest.hexdigest()


def _gather(parts: Iterator[bytes]) -> bytes:
    """The next parts as one, as many as are worth a call; nothing when there are no more."""
    held, size = [], 0
    for part in parts:
        held.append(part)
        size += len(part)
        if size >= _BYTES_AT_ONCE:
            break
    return b"".join(held)


def _pack_header(name: str, checksum: int, size: int) -> bytes:
    header = _LOCAL_HEADER.pack(b"PK\3\4", _ZIP_2, 0, 0, 0, _NO_DAY, checksum, size, size, len(name), 0)
    return header + name.encode("ascii")


def _pack_entry(name: str, checksum: int, size: int, start: int) -> bytes:
    made_by, rights = _UNIX << 8 | _ZIP_2, _OWNER_ONLY << 16
    values = (made_by, _ZIP_2, 0, 0, 0, _NO_DAY, checksum, size, size, len(name), 0, 0, 0, 0, rights, start)
    return _ENTRY.pack(b"PK\1\2", *values) + name.encode("ascii")


def write_file(path: Path, content: bytes) -> None:
    """Write one file, readable by its owner alone and moved into place when complete; lets ``OSError`` through."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Of a process that died: its rights would be kept.
    fresh.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def read_sums(path: Path) -> Iterator[tuple[str, str]]:
    """Name and SHA-256 of every document in a pack, in its order. Raises ``DataError`` for a broken pack."""
    sums = read_member(path, SUMS_NAME)
    if sums is None:
        raise _broken(path)
    for line in sums.decode().splitlines():
        digest, _, name = line.partition("  ")
        yield name, digest


def read_documents(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of every document in a pack, in its order, each proved against the list of hashes.

    Raises ``DataError`` for a broken pack, and for one whose list is not of these documents.
    """
    listed = dict(read_sums(path))
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.filename != SUMS_NAME:
                    content = archive.read(member)
                    if listed.pop(member.filename, None) != hashlib.sha256(content).hexdigest():
                        raise _broken(path)
                    yield member.filename, content
    except (OSError, zipfile.BadZipFile) as error:
        raise _broken(path) from error
    if listed:
        raise _broken(path)


def read_document(folder: Path, name: str, pattern: str = "*.zip") -> bytes | None:
    """One document out of the packs of ``folder``; None where none of them has it.

    Packs follow each other in the order of names, so that bisection opens few of them, and of the one that may hold
    the document only the list of members and the document are read.
    """
    packs = sorted(folder.glob(pattern))
    low, high = 0, len(packs)
    while high - low > 1:
        middle = (low + high) // 2
        if _first_name(packs[middle]) <= name:
            low = middle
        else:
            high = middle
    return read_member(packs[low], name) if packs else None


def read_member(path: Path, name: str) -> bytes | None:
    """The content of a pack's member, found in the list at its end without parsing the other entries; None without it.

    Raises ``DataError`` for a broken pack.
    """
    return read_members(path, [name])[0]


def read_members(path: Path, names: Iterable[str]) -> list[bytes | None]:
    """The same of several, for which the list is read once."""
    try:
        with path.open("rb") as file:
            directory = _read_directory(file)
            offsets = [_find_entry(directory, name.encode("ascii")) for name in names]
            return [None if offset is None else _read_entry(file, directory, offset) for offset in offsets]
    except (OSError, struct.error, zipfile.BadZipFile) as error:
        raise _broken(path) from error


def _read_entry(file: BinaryIO, directory: bytes, offset: int) -> bytes:
    entry = _ENTRY.unpack_from(directory, offset)
    checksum, size, start = entry[7], entry[9], entry[16]
    file.seek(start)
    header = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    file.seek(header[9] + header[10], os.SEEK_CUR)
    content = file.read(size)
    if zlib.crc32(content) != checksum:
        raise zipfile.BadZipFile("a member is not the one that was written")
    return content


def _first_name(path: Path) -> str:
    try:
        with path.open("rb") as file:
            directory = _read_directory(file)
        length = _ENTRY.unpack_from(directory)[10]
    except (OSError, struct.error, zipfile.BadZipFile) as error:
        raise _broken(path) from error
    return directory[_ENTRY.size : _ENTRY.size + length].decode("ascii")


def _broken(path: Path) -> DataError:
    return DataError(
        f"{path} is not a whole pack of documents: restore it from a backup, or run its month again if it is not issued"
    )


def _read_directory(file: BinaryIO) -> bytes:
    # Packs have no comment, so the end record is the last thing in the file.
    file.seek(-_END_OF_DIRECTORY.size, os.SEEK_END)
    end = _END_OF_DIRECTORY.unpack(file.read(_END_OF_DIRECTORY.size))
    if end[0] != b"PK\x05\x06":
        raise zipfile.BadZipFile("the end record is missing")
    size, start = end[5], end[6]
    file.seek(start)
    return file.read(size)


def _find_entry(directory: bytes, name: bytes) -> int | None:
    """Where the entry of ``name`` begins in the list of members."""
    found = directory.find(name)
    while found != -1:
        offset = found - _ENTRY.size
        is_entry = offset >= 0 and directory[offset : offset + 4] == b"PK\x01\x02"
        if is_entry and _ENTRY.unpack_from(directory, offset)[10] == len(name):
            return offset
        found = directory.find(name, found + 1)
    return None

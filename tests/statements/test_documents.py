"""Packs of documents: the same bytes, opened with ordinary tools, any document found, damage seen."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from include import documents as packs
from include.carm.errors import DataError, Unavailable
from include.documents import SUMS_NAME, read_document, read_documents, read_sums, write_pack

DOCUMENTS = [
    (f"{number:09d}RM0001.{kind}", f"{kind} of {number}".encode()) for number in range(9) for kind in ("csv", "html")
]


def _packs(folder: Path, documents_a_pack: int) -> Path:
    for place in range(0, len(DOCUMENTS), documents_a_pack):
        name = f"statements-{place // documents_a_pack + 1:04d}.zip"
        write_pack(folder / name, DOCUMENTS[place : place + documents_a_pack])
    return folder


@pytest.mark.parametrize("documents_a_pack", [1, 2, 6, 18])
def test_any_document_is_found_in_whatever_pack_it_lies(tmp_path: Path, documents_a_pack: int) -> None:
    folder = _packs(tmp_path, documents_a_pack)

    assert DOCUMENTS == [(name, read_document(folder, name)) for name, _ in DOCUMENTS]


@pytest.mark.parametrize(
    "name", ["000000000RM0000.csv", "000000003RM0002.html", "999999999RM0001.csv", "00000000", "RM0001.csv"]
)
def test_a_document_that_is_in_no_pack_is_not_found(tmp_path: Path, name: str) -> None:
    assert read_document(_packs(tmp_path, 4), name) is None


def test_a_folder_without_packs_has_no_document(tmp_path: Path) -> None:
    assert read_document(tmp_path / "missing", "000000000RM0001.csv") is None


def test_the_same_documents_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write_pack(tmp_path / name, DOCUMENTS) for name in ("a.zip", "b.zip"))

    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.sha256 == second.sha256 == hashlib.sha256(first.path.read_bytes()).hexdigest()
    assert len(DOCUMENTS) == first.documents


def test_an_ordinary_tool_opens_a_pack_and_proves_it_by_its_list_of_hashes(tmp_path: Path) -> None:
    path = write_pack(tmp_path / "a.zip", DOCUMENTS).path

    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert [*(name for name, _ in DOCUMENTS), "SHA256SUMS"] == archive.namelist()
        assert dict(DOCUMENTS) == {name: archive.read(name) for name, _ in DOCUMENTS}
        sums = archive.read("SHA256SUMS").decode().splitlines()
    assert [f"{hashlib.sha256(content).hexdigest()}  {name}" for name, content in DOCUMENTS] == sums
    assert [(name, hashlib.sha256(content).hexdigest()) for name, content in DOCUMENTS] == list(read_sums(path))


@pytest.mark.parametrize("size", [0, 1, packs._BYTES_AT_ONCE, packs._BYTES_AT_ONCE + 1])
def test_a_pack_has_the_bytes_that_the_zip_module_writes(tmp_path: Path, size: int) -> None:
    contents = [("a.csv", b"rows"), ("b.html", b"x" * size), ("c.html", b"y" * 3)]

    fresh = write_pack(tmp_path / "fresh.zip", [(name, iter([content[:7], content[7:]])) for name, content in contents])

    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in contents)
    with zipfile.ZipFile(tmp_path / "plain.zip", "w") as archive:
        for name, content in [*contents, (SUMS_NAME, sums.encode())]:
            member = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            member.create_system, member.external_attr = 3, 0o600 << 16
            archive.writestr(member, content)
    assert (tmp_path / "plain.zip").read_bytes() == fresh.path.read_bytes()


def test_a_pack_that_old_tools_could_not_open_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "_MOST_BYTES", 300)
    write_pack(tmp_path / "full.zip", [("a.csv", b"x" * 20)])

    with pytest.raises(ValueError, match=r"at most 300 bytes: put fewer documents into it than up to b\.csv"):
        write_pack(tmp_path / "over.zip", [("a.csv", b"x" * 20), ("b.csv", b"x" * 260)])
    assert ["full.zip"] == [path.name for path in tmp_path.iterdir()]


def test_an_empty_pack_is_a_pack(tmp_path: Path) -> None:
    pack = write_pack(tmp_path / "a.zip", [])

    assert (0, []) == (pack.documents, list(read_sums(pack.path)))
    assert read_document(tmp_path, "000000000RM0001.csv") is None


def test_documents_out_of_order_or_twice_are_refused(tmp_path: Path) -> None:
    for documents in (DOCUMENTS[::-1], [DOCUMENTS[0], DOCUMENTS[0]]):
        with pytest.raises(ValueError, match="the documents of a pack must be sorted"):
            write_pack(tmp_path / "a.zip", documents)
    assert [] == list(tmp_path.iterdir())


def test_a_pack_that_could_not_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    def interrupted() -> Iterator[tuple[str, bytes]]:
        yield DOCUMENTS[0]
        raise OSError(28, "No space left on device")

    old = write_pack(tmp_path / "a.zip", DOCUMENTS)
    with pytest.raises(Unavailable, match=r"No space left on device\): make room in the data folder"):
        write_pack(tmp_path / "a.zip", interrupted())
    assert [old.path] == list(tmp_path.iterdir())
    assert old.sha256 == hashlib.sha256(old.path.read_bytes()).hexdigest()


def test_a_damaged_pack_is_named(tmp_path: Path) -> None:
    path = write_pack(tmp_path / "a.zip", DOCUMENTS).path
    sound = path.read_bytes()
    for damaged in (
        sound[:-30],
        sound.replace(b"csv of 3", b"csv of 4"),
        b"",
        b"no pack at all, but longer than its end record",
    ):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"a\.zip is not a whole pack of documents: restore it from a backup"):
            read_document(tmp_path, "000000003RM0001.csv")


@pytest.mark.parametrize("name", ["a.csv", "z.csv"])
def test_a_list_of_hashes_that_is_not_of_the_documents_breaks_the_pack(tmp_path: Path, name: str) -> None:
    """Whoever proves the pack with ``sha256sum -c`` must be told the same as who runs ``carm verify``."""
    path = tmp_path / "pack.zip"
    write_pack(path, [("a.csv", b"1"), ("b.csv", b"2")])
    other = {"a.csv": "0" * 64, "z.csv": hashlib.sha256(b"3").hexdigest()}[name]
    sums = dict(read_sums(path)) | {name: other}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", b"1")
        archive.writestr("b.csv", b"2")
        archive.writestr(SUMS_NAME, "".join(f"{digest}  {member}\n" for member, digest in sums.items()))

    with pytest.raises(DataError, match="is not a whole pack of documents"):
        list(read_documents(path))

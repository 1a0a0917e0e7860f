"""``carm verify`` and certificates: a changed file, a forged chain, a certificate of other files are each named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from include.audit import Link
from include.carm.errors import DataError
from include.carm.period import Period
from include.certificate import EVENT, FORMATS, certificate_folder, kept_folder, require_certificate
from include.verify import verify, verify_lines
from include.verify_certificates import verify_certificates
from include.verify_chain import Chain, read_chain
from include.workspace import Workspace
from tests.pipeline import run_month
from tests.prepared import Prepared, shadow_months

JULY = Period(2021, 7)


@pytest.fixture(scope="module")
def made(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """July looked at, then issued, and once more beside the record."""
    ws = prepared.copy(tmp_path_factory.mktemp("proved") / "data", shadow_months, "2021-07")
    run_month(ws, str(JULY), effects="live", run_id="live july")
    run_month(ws, str(JULY), effects="shadow", run_id="shadow july")
    return ws


def chain_of(ws: Workspace) -> Chain:
    with ws.operations.connect() as connection:
        return read_chain(connection)


@contextmanager
def rewritten(path: Path, content: bytes | None) -> Iterator[None]:
    """A file with other bytes, or gone, for as long as the context lasts."""
    before = path.read_bytes()
    assert before != content
    path.unlink() if content is None else path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


def test_every_certificate_that_ever_counted_is_proved_and_told(made: Workspace) -> None:
    facts = verify(made)
    assert facts["certificates"] == {"told": 2, "beside": 1}
    assert facts["notes"] == []
    (line,) = [line for line in verify_lines(facts) if line.startswith("Certificates")]
    assert line.endswith("as the chain tells: 2; of runs beside the record, each as it was written: 1")
    before = verify_certificates(made, chain_of(made), JULY.previous())
    assert (before.told, before.beside, before.notes) == (0, 0, [])


@pytest.mark.parametrize("content", [b"{}", None], ids=["changed", "gone"])
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("which", ["in its place", "kept", "beside"])
def test_a_file_that_was_changed_or_lost_is_named(
    made: Workspace, which: str, format: str, content: bytes | None
) -> None:
    record = require_certificate(made, JULY)
    folders = {
        "in its place": record.folder,
        "kept": kept_folder(made, JULY, "lake", record.content["supersedes"]),
        "beside": certificate_folder(made, JULY, "shadow"),
    }
    path = folders[which] / f"certificate.{format}"
    with rewritten(path, content), pytest.raises(DataError) as caught:
        verify_certificates(made, chain_of(made), None)
    shown = path.relative_to(made.data)
    assert str(caught.value).startswith(
        f"the file {shown} is not the certificate that was written: restore it from a backup"
    )
    assert ("of the audit chain (certificate 2021-07) tells its hash" in str(caught.value)) == (which != "beside")
    assert verify_certificates(made, chain_of(made), None).told == 2


def forged(chain: Chain, number: int, change: Any) -> Chain:
    """The chain with another fact in one link, and every hash after it made anew: whoever can write it can do so."""
    links, previous = list[Link](), None
    for link in chain.links:
        facts = json.loads(link.facts)
        if link.link_no == number:
            change(facts)
        fresh = replace(link, facts=json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False))
        if previous is not None:
            fresh = replace(fresh, previous_sha256=previous)
        previous = fresh.expected_sha256()
        links.append(replace(fresh, sha256=previous))
    return Chain(tuple(links))


def test_a_chain_that_was_written_anew_contradicts_the_certificates(made: Workspace) -> None:
    chain = chain_of(made)
    assert forged(chain, 1, lambda facts: None) == chain
    other = forged(chain, 1, lambda facts: facts.update(other=1))
    with pytest.raises(DataError, match=r"prints an audit chain head that is no link before link \d+ of the audit"):
        verify_certificates(made, other, None)


def test_a_head_that_comes_after_the_certificate_is_no_head_before_it(made: Workspace) -> None:
    chain = chain_of(made)
    first = next(link for link in chain.links if link.event == EVENT)
    before = [link for link in chain.links if link.link_no < first.link_no]
    # The link of the certificate, before all that it tells of.
    moved = [replace(first, link_no=1), *(replace(link, link_no=link.link_no + 1) for link in before)]
    with pytest.raises(DataError, match="prints an audit chain head that is no link before link 1"):
        verify_certificates(made, Chain((*moved, *chain.links[len(moved) :])), None)


@pytest.mark.parametrize("column", ["version", "json_sha256"])
def test_a_link_that_tells_of_another_certificate_is_named(made: Workspace, column: str) -> None:
    chain = chain_of(made)
    last = [link for link in chain.links if link.event == EVENT][-1]
    other = forged(chain, last.link_no, lambda facts: facts.update({column: 7 if column == "version" else "7" * 64}))
    with pytest.raises(DataError, match=rf"link {last.link_no} of the audit chain \(certificate 2021-07\)"):
        verify_certificates(made, other, None)


def test_a_certificate_of_other_files_than_were_sealed_when_the_month_was_closed_is_named(made: Workspace) -> None:
    chain = chain_of(made)
    (close,) = [link for link in chain.links if link.event == "close"]
    other = forged(chain, close.link_no, lambda facts: facts["seals"].update(statements="7" * 64))
    with pytest.raises(DataError, match="names another file statements than was sealed when 2021-07 was closed"):
        verify_certificates(made, other, None)


def test_a_certificate_that_no_link_tells_of_is_told(made: Workspace) -> None:
    chain = chain_of(made)
    untold = Chain(tuple(link for link in chain.links if link.event != EVENT))
    proof = verify_certificates(made, untold, JULY)
    assert proof.told == 0
    assert proof.notes == [
        f"{certificate_folder(made, JULY)} holds a certificate that does not count, of a run that died before it was "
        "told of: run 2021-07 again"
    ]

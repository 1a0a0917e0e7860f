"""Proves the certificates of the months: each is the file that its link tells of, and tells what else is on record.

Every certificate that ever counted must be there, in its place or where it is kept since another took its place. The
head of the audit chain that it prints must be a link before its own: who writes the chain anew has to forge the
certificates too. One of a closed month must name the files that were sealed when the month was closed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from include.carm.errors import DataError
from include.carm.period import Period
from include.certificate import (
    EVENT,
    FORMATS,
    Certificate,
    certificate_folder,
    certificate_told,
    certified_months,
    find_certificate,
)
from include.documents import SUMS_NAME
from include.verify_chain import Chain, describe_link

if TYPE_CHECKING:
    from include.audit import Link
    from include.workspace import Workspace


@dataclass
class CertificateProof:
    """How many certificates of the record are as their links tell, how many lie beside it, and what is no fault."""

    told: int = 0
    beside: int = 0
    notes: list[str] = field(default_factory=list)


def verify_certificates(ws: Workspace, chain: Chain, up_to: Period | None) -> CertificateProof:
    """Prove every certificate (with ``up_to``, those of months up to it).

    Raises ``DataError`` naming the first file that is another one, or the link that it contradicts.
    """
    proof = CertificateProof()
    months: dict[Period, list[tuple[Link, dict[str, Any]]]] = defaultdict(list)
    for link, facts in chain.of(EVENT):
        period = Period.parse(link.subject)
        if up_to is None or period <= up_to:
            months[period].append((link, facts))
    heads = {link.sha256: link.link_no for link in chain.links}
    sealed = {link.subject: facts["seals"] for link, facts in reversed(chain.of("close"))}
    for period, told in sorted(months.items()):
        for version, (link, facts) in enumerate(told, start=1):
            certificate = certificate_told(ws, period, facts)
            _verify_files(certificate, link)
            _verify_content(certificate, link, version, heads)
            proof.told += 1
        if str(period) in sealed:
            _verify_seals(certificate, link, sealed[str(period)])
        if certificate.folder != certificate_folder(ws, period):
            proof.notes.append(_unfinished(ws, period))
    proof.notes += [_unfinished(ws, period) for period in _untold(ws, up_to) if period not in months]
    for period in certified_months(ws, "shadow"):
        if up_to is None or period <= up_to:
            _read_all(find_certificate(ws, period, "shadow"))
            proof.beside += 1
    return proof


def _read_all(certificate: Certificate | None) -> None:
    if certificate is not None:
        for format in FORMATS:
            certificate.read(format)


def _verify_files(certificate: Certificate, link: Link) -> None:
    try:
        _read_all(certificate)
    except DataError as error:
        raise DataError(f"{error}; {describe_link(link)} tells its hash") from error


def _verify_content(certificate: Certificate, link: Link, version: int, heads: dict[str, int]) -> None:
    content = certificate.content
    own = {"version": version, "period": link.subject, "area": "lake"}
    head = content["moment"]["audit_chain"]["head"]
    if {name: content[name] for name in own} != own or certificate.version != version:
        raise DataError(
            f"{certificate.path('json')} is not version {version} of the certificate of {link.subject}, which "
            f"{describe_link(link)} tells of: restore the database from a backup"
        )
    if head is not None and heads.get(head, link.link_no) >= link.link_no:
        raise DataError(
            f"{certificate.path('json')} prints an audit chain head that is no link before {describe_link(link)}: the "
            "chain was written anew after that; restore the database from a backup"
        )


def _verify_seals(certificate: Certificate, link: Link, sealed: dict[str, str]) -> None:
    """The last certificate of a closed month names the files that were sealed when it was closed."""
    named = {file["dataset"]: file["sha256"] for file in certificate.content["month"]["files"]}
    for dataset, sha256 in sorted(sealed.items()):
        if named.get(dataset, sha256) != sha256:
            raise DataError(
                f"the certificate that {describe_link(link)} tells of names another file {dataset} than was sealed "
                f"when {link.subject} was closed: restore the lake and the database from a backup"
            )


def _untold(ws: Workspace, up_to: Period | None) -> Iterator[Period]:
    """The months in whose place something lies that looks like a certificate."""
    for path in sorted(certificate_folder(ws, Period(1, 1)).parent.glob(f"period=*/{SUMS_NAME}")):
        period = Period.parse(path.parent.name.removeprefix("period="))
        if up_to is None or period <= up_to:
            yield period


def _unfinished(ws: Workspace, period: Period) -> str:
    return (
        f"{certificate_folder(ws, period)} holds a certificate that does not count, of a run that died before it was "
        f"told of: run {period} again"
    )

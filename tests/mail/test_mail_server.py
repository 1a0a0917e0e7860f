"""A real server with TLS and a log-in: what is said over which line, and one clear error where it cannot be said."""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from include.carm.errors import UsageError
from include.mail_server import MailServer, NotConnected, ServerSettings

HOST, LOGIN, PASSWORD = "127.0.0.1", "sender", "a-password-of-the-tests"
MAIL = b"Subject: A notice\r\n\r\nText\r\n"


class Office:
    """What a server of the tests was told: how it was greeted, over which line it got the password, and the mails."""

    def __init__(self) -> None:
        self.greetings: list[str] = []
        self.passwords: list[bytes] = []
        self.mails: list[tuple[str | None, bytes]] = []

    async def handle_EHLO(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        self.greetings.append(hostname)
        return responses

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        self.mails.append((session.auth_data, envelope.content))
        return "250 OK"

    def log_in(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.passwords.append(data.password)
        is_known = (data.login, data.password) == (LOGIN.encode(), PASSWORD.encode())
        return AuthResult(success=is_known, handled=False, auth_data=LOGIN if is_known else None)


class _Controller(Controller):
    def __init__(self, office: Office, server: Callable[[Office], SMTP], over: ssl.SSLContext | None) -> None:
        super().__init__(office, hostname=HOST, port=0, ssl_context=over)
        self._make = server

    def factory(self) -> SMTP:
        return self._make(self.handler)

    def _trigger_server(self) -> None:
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of this machine that it signed itself, and its key behind it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a server of the tests")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("certificate") / "server.pem"
    plain = serialization.NoEncryption()
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    return path


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, trusted by this machine as far as this test goes."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return certificate


@contextmanager
def served(certificate: Path, security: str, *, asks_for_log_in: bool = False) -> Iterator[tuple[Office, int]]:
    """A server with ``security`` at a free port: what it was told, and the port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    office, implicit = Office(), security == "tls"
    words: dict[str, Any] = {"hostname": "test", "auth_required": asks_for_log_in}
    if asks_for_log_in:
        # Over implicit TLS the library does not know of the TLS that it speaks.
        words |= {"authenticator": office.log_in, "auth_require_tls": not implicit}
    if security == "starttls":
        words |= {"tls_context": context, "require_starttls": True}
    controller = _Controller(office, lambda handler: SMTP(handler, **words), context if implicit else None)
    controller.start()
    try:
        yield office, controller.port
    finally:
        controller.stop()


def server(port: int, security: str, **changed: Any) -> MailServer:
    settings: dict[str, Any] = {"host": HOST, "port": port, "security": security, "login": None, "password": None}
    settings |= {"seconds": 5, "seconds_to_accept": 5, "sender": "notices@example.org"}
    return MailServer(ServerSettings(**{**settings, **changed}))


# The library warns of a log-in without the TLS that it knows of; over implicit TLS it knows of none.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")


def send_one(connection: MailServer) -> None:
    with connection:
        connection.connect()
        connection.address("one@example.org")
        connection.hand_over(MAIL)


@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
def test_a_relay_without_a_log_in_is_greeted_and_takes_a_mail(trusted: Path, security: str) -> None:
    with served(trusted, security) as (office, port):
        send_one(server(port, security))
    assert [content for _, content in office.mails] == [MAIL]
    # Before STARTTLS and after it: what was said in the clear does not count.
    assert len(office.greetings) == (2 if security == "starttls" else 1)


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_mail_is_handed_in_under_a_log_in(trusted: Path, security: str) -> None:
    with served(trusted, security, asks_for_log_in=True) as (office, port):
        send_one(server(port, security, login=LOGIN, password=PASSWORD))
    assert (office.mails, office.passwords) == ([(LOGIN, MAIL)], [PASSWORD.encode()])


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_refused_log_in_is_one_error_that_repeats_no_password(trusted: Path, security: str) -> None:
    with (
        served(trusted, security, asks_for_log_in=True) as (office, port),
        pytest.raises(UsageError, match=r"refuses the log-in \(code 535\): correct login and password") as refused,
    ):
        send_one(server(port, security, login=LOGIN, password="another-password"))
    assert office.mails == []
    assert "another-password" not in f"{refused.value!r} {refused.value.__cause__}"


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_server_that_nobody_vouches_for_gets_no_password(certificate: Path, security: str) -> None:
    with (
        served(certificate, security, asks_for_log_in=True) as (office, port),
        pytest.raises(UsageError, match=r"cannot be trusted or speaks no TLS \(CERTIFICATE_VERIFY_FAILED\)"),
    ):
        send_one(server(port, security, login=LOGIN, password=PASSWORD))
    assert (office.passwords, office.mails) == ([], [])


def test_a_certificate_of_another_name_is_not_trusted(trusted: Path) -> None:
    with (
        served(trusted, "tls") as (office, port),
        pytest.raises(UsageError, match=r"cannot be trusted .*CERTIFICATE_VERIFY_FAILED"),
    ):
        send_one(server(port, "tls", host="localhost"))
    assert office.mails == []


def test_a_server_without_starttls_gets_no_password(trusted: Path) -> None:
    with (
        served(trusted, "none") as (office, port),
        pytest.raises(UsageError, match=r"offers no STARTTLS: turn it on there, or set disable_tls"),
    ):
        send_one(server(port, "starttls", login=LOGIN, password=PASSWORD))
    assert (office.passwords, office.mails) == ([], [])


def test_a_server_without_a_log_in_says_so(trusted: Path) -> None:
    with (
        served(trusted, "none") as (office, port),
        pytest.raises(UsageError, match=r"offers no log-in on this connection"),
    ):
        send_one(server(port, "none", login=LOGIN, password=PASSWORD))
    assert office.mails == []


def test_tls_to_a_port_that_speaks_none_is_one_error(trusted: Path) -> None:
    with served(trusted, "none") as (_, port), pytest.raises(UsageError, match=r"cannot be trusted or speaks no TLS"):
        send_one(server(port, "tls"))


def test_nobody_there_is_not_connected() -> None:
    with pytest.raises(NotConnected, match=r"the mail server 127\.0\.0\.1:\d+ cannot be reached"):
        send_one(server(_a_free_port(), "none"))


def _a_free_port() -> int:
    from include.local_airflow.environment import choose_port

    return choose_port("")


def test_no_password_stands_in_what_is_printed_of_the_settings() -> None:
    shown = repr(server(587, "starttls", login=LOGIN, password=PASSWORD).settings)
    assert not re.search(f"{LOGIN}|{PASSWORD}", shown)

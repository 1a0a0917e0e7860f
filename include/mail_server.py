"""Hands mails over to a mail server, over one connection for many, and tells exactly what became of each.

A mail is taken when the server has answered its last line. What fails before that line is whole cannot have been taken;
where the line was sent and no answer came, nobody can tell.
"""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from include.carm.errors import Unavailable, UsageError

_LINE_OF_DOTS = re.compile(rb"^\.", re.MULTILINE)
_ACCEPTED = (250, 251, 252)
_SEND_DATA = 354


class MailError(Exception):
    """Something about one mail; ``code`` is the server's answer, None where it gave none."""

    def __init__(self, code: int | None = None) -> None:
        super().__init__(f"the mail server answered {code}" if code else "the mail server did not answer")
        self.code = code


class PutOff(MailError):
    """It was not taken now, and may be later: the server says so, or the connection broke before it was handed over.

    ``is_of_server`` tells that any other mail would have fared the same.
    """

    def __init__(self, code: int | None = None, *, is_of_server: bool = False) -> None:
        super().__init__(code)
        self.is_of_server = is_of_server or code is None


class Rejected(MailError):
    """It was not taken, and will not be."""


class Unanswered(MailError):
    """It was handed over whole, and the server did not say whether it took it."""


class NotConnected(Exception):
    """The server cannot be reached now."""


@dataclass(frozen=True)
class ServerSettings:
    """Where mail is handed in. ``security`` is ``starttls``, ``tls`` or ``none``.

    ``seconds`` is how long to wait for an answer, ``seconds_to_accept`` for the one to a mail that was handed over.
    """

    host: str
    port: int
    security: str
    login: str | None
    password: str | None
    seconds: float
    seconds_to_accept: float
    sender: str

    def __repr__(self) -> str:
        return f"ServerSettings({self.host}:{self.port}, {self.security})"


class MailServer:
    """One connection at a time, made when it is first needed and again after it broke."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self._client: smtplib.SMTP | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._client is not None:
            try:
                self._client.quit()
            except (smtplib.SMTPException, OSError):
                self._drop()

    def connect(self) -> None:
        """Connect and log in, unless that is done. Raises ``NotConnected``, or ``UsageError`` for a refused log-in."""
        if self._client is not None:
            return
        settings = self.settings
        where = f"the mail server {settings.host}:{settings.port}"
        try:
            client = self._open()
        except ssl.SSLError as error:
            raise UsageError(
                f"{where} cannot be trusted or speaks no TLS ({error.reason or 'TLS error'}): look at the certificate, "
                "and at disable_ssl and disable_tls in the extra of the connection carm_smtp"
            ) from error
        except smtplib.SMTPNotSupportedError:
            raise UsageError(
                f"{where} offers no STARTTLS: turn it on there, or set disable_tls in the extra of the connection "
                "carm_smtp where the line is safe without"
            ) from None
        except (smtplib.SMTPException, OSError) as error:
            raise NotConnected(f"{where} cannot be reached ({type(error).__name__})") from error
        try:
            if settings.login:
                client.login(settings.login, settings.password or "")
        except smtplib.SMTPAuthenticationError as error:
            client.close()
            if 400 <= error.smtp_code < 500:
                raise NotConnected(f"{where} puts the log-in off (code {error.smtp_code})") from None
            # Its text may repeat what was sent.
            raise UsageError(
                f"{where} refuses the log-in (code {error.smtp_code}): correct login and password of the connection "
                "carm_smtp"
            ) from None
        except smtplib.SMTPNotSupportedError:
            client.close()
            raise UsageError(
                f"{where} offers no log-in on this connection: take the login out of the connection carm_smtp, or turn "
                "TLS on"
            ) from None
        except (smtplib.SMTPException, OSError) as error:
            client.close()
            raise NotConnected(f"{where} broke the log-in off ({type(error).__name__})") from error
        self._client = client

    def _open(self) -> smtplib.SMTP:
        settings, client = self.settings, self._dial()
        try:
            # The library greets by itself before a log-in alone, and not every connection has one.
            client.ehlo_or_helo_if_needed()
            if settings.security == "starttls":
                # Raises where the server does not offer it: a password never goes over an open line.
                client.starttls(context=ssl.create_default_context())
                client.ehlo()
        except BaseException:
            client.close()
            raise
        # A mail is small, and each of its lines is waited for.
        assert client.sock is not None
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client

    def _dial(self) -> smtplib.SMTP:
        settings = self.settings
        if settings.security != "tls":
            return smtplib.SMTP(settings.host, settings.port, timeout=settings.seconds)
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(settings.host, settings.port, timeout=settings.seconds, context=context)

    def address(self, recipient: str) -> None:
        """Begin a mail to ``recipient``. Raises ``PutOff``, ``Rejected``, ``UsageError`` for a refused sender."""
        assert self._client is not None
        try:
            code, _ = self._client.mail(self.settings.sender)
            if code not in _ACCEPTED:
                if code >= 500:
                    raise UsageError(
                        f"the mail server refuses {self.settings.sender} as sender (code {code}): correct from_email "
                        "in the extra of the connection carm_smtp, or ask the server's administrator"
                    )
                raise self._refusal(code, is_of_server=True)
            code, _ = self._client.rcpt(recipient)
            if code not in _ACCEPTED:
                raise self._refusal(code)
        except UnicodeEncodeError as error:
            # An address that no command can hold: no attempt makes it another one.
            self.give_up()
            raise Rejected from error
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            raise PutOff from error

    def hand_over(self, mail: bytes) -> int:
        """Hand over the mail that was addressed; returns the code with which the server took it.

        Raises ``PutOff``, ``Rejected``, and ``Unanswered`` where nobody can tell.
        """
        assert self._client is not None
        try:
            code, _ = self._client.docmd("DATA")
            if code != _SEND_DATA:
                raise self._refusal(code)
            self._client.send(_LINE_OF_DOTS.sub(b"..", mail))
            if not mail.endswith(b"\r\n"):
                self._client.send(b"\r\n")
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            raise PutOff from error
        assert self._client.sock is not None
        try:
            self._client.sock.settimeout(self.settings.seconds_to_accept)
            self._client.send(b".\r\n")
            code, _ = self._client.getreply()
            self._client.sock.settimeout(self.settings.seconds)
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            raise Unanswered from error
        if code in _ACCEPTED:
            return code
        if not 400 <= code < 600:
            # An answer that is none.
            self._drop()
            raise Unanswered
        raise self._refusal(code)

    def give_up(self) -> None:
        """Leave a mail that was addressed and is not handed over."""
        try:
            if self._client is not None:
                self._client.rset()
        except (smtplib.SMTPException, OSError):
            self._drop()

    def _refusal(self, code: int, *, is_of_server: bool = False) -> MailError:
        if code == 421 or not 400 <= code < 600:
            # The server is closing, or does not speak SMTP.
            self._drop()
            return PutOff(code, is_of_server=True)
        self.give_up()
        return Rejected(code) if code >= 500 else PutOff(code, is_of_server=is_of_server)

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def unreachable(error: NotConnected, waiting: int) -> Unavailable:
    """The error of a run that gives up."""
    return Unavailable(
        f"{error}: {waiting:,} messages wait in the outbox; check host, port and TLS of the connection carm_smtp, and "
        "run carm_deliver again"
    )

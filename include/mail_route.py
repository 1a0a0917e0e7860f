"""By which server, from whom and how fast mail is sent: the connection ``carm_smtp`` and ``notices.yaml`` together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from include.carm.contacts import Contacts
from include.carm.errors import UsageError
from include.carm.mail_settings import Delivery, MailSettings
from include.carm.recipients import checked_key
from include.mail import Sender
from include.mail_server import ServerSettings
from include.unsubscribe import make_token, require_secret

if TYPE_CHECKING:
    from include.airflow_settings import ConnectionSettings

_PORTS = {"tls": 465, "starttls": 587, "none": 25}


@dataclass(frozen=True)
class MailRoute:
    """What :func:`include.deliver.deliver` takes of the settings."""

    server: ServerSettings
    sender: Sender
    rules: Delivery

    @classmethod
    def of(cls, connection: ConnectionSettings) -> MailRoute:
        """Read the connection as Airflow's SMTP provider does: TLS unless ``disable_ssl`` or both say less.

        ``disable_ssl`` alone leaves STARTTLS. Raises ``UsageError`` where host or sender are missing, or where the key
        that signs links is no secret.
        """
        settings, extra = MailSettings.load(), connection.extra
        if connection.conn_type != "smtp" or not connection.host:
            raise UsageError(f"connection {connection.conn_id} names no mail server: give it the type smtp and a host")
        sender = str(extra.get("from_email") or "")
        if "@" not in sender:
            raise UsageError(
                f"connection {connection.conn_id} has no from_email: write the sender's address into its extra"
            )
        security = "tls" if not _is_true(extra.get("disable_ssl")) else "none"
        if security == "none" and not _is_true(extra.get("disable_tls")):
            security = "starttls"
        server = ServerSettings(
            host=connection.host,
            port=connection.port or _PORTS[security],
            security=security,
            login=connection.login,
            password=connection.password,
            seconds=settings.delivery.seconds_to_wait,
            seconds_to_accept=settings.delivery.seconds_to_accept,
            sender=sender,
        )
        link = _link_maker(settings.letterhead.unsubscribe_url, str(extra.get("recipient_hash_key") or ""))
        mailbox = Contacts.load().engagement_email
        return cls(server, Sender(sender, settings.letterhead, mailbox, link), settings.delivery)


def _link_maker(url: str, hash_key: str) -> Callable[[str], str] | None:
    """What makes the link by which one recipient unsubscribes; None where no page is configured."""
    if not url:
        return None
    key = checked_key(hash_key)
    require_secret(key, url)
    return lambda recipient: f"{url}/u/{make_token(recipient, key)}"


def _is_true(written: object) -> bool:
    return str(written).strip().lower() in ("true", "1", "yes")

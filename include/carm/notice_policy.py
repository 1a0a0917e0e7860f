"""Who is told what about an account, from ``include/config/notices.yaml``.

How messages are sent stands in other sections of the same file, which this module leaves to their reader.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from include.carm.settings_file import CONFIG_FOLDER, Settings

ACCOUNT_KINDS = ("statement", "closure", "closure_coming", "conversion", "reinstatement", "mfa")
"""The kinds of notices about one account, in the order in which a digest tells them."""

ACCOUNT_ITSELF = "account"
DELEGATE_ROLES = ("business_account_manager", "program_account_manager", "editor", "reader")
ROLES = (ACCOUNT_ITSELF, *DELEGATE_ROLES)
"""``account`` is the address that is on file for the account; the others are the roles of its delegates."""


@dataclass(frozen=True)
class NoticePolicy:
    """Which roles get which kind, from how many messages on a person gets a digest, and what is printed as a letter.

    ``recipients`` holds every kind of ``ACCOUNT_KINDS``, each with at least one role.
    """

    recipients: dict[str, tuple[str, ...]]
    digest_from_messages: int
    digest_most_lines: int
    reminds_of_mfa: bool
    letters: tuple[str, ...]

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Read the policy; raises ``UsageError`` that names the file and the key of a wrong value."""
        settings = Settings.load(path or CONFIG_FOLDER / "notices.yaml")
        recipients, digest, mfa = (settings.section(name) for name in ("recipients", "digest", "mfa"))
        recipients.allow(*ACCOUNT_KINDS)
        digest.allow("from_messages", "most_lines")
        mfa.allow("remind")
        return cls(
            recipients={kind: _read_roles(recipients, kind) for kind in ACCOUNT_KINDS},
            # One message is no digest of anything.
            digest_from_messages=digest.count("from_messages", least=2),
            digest_most_lines=digest.count("most_lines", least=10),
            reminds_of_mfa=mfa.flag("remind"),
            letters=settings.choices("letters", *ACCOUNT_KINDS),
        )


def _read_roles(recipients: Settings, kind: str) -> tuple[str, ...]:
    roles = recipients.choices(kind, *ROLES)
    if not roles:
        raise recipients.wrong(kind, f"is empty: write at least one of {', '.join(ROLES)}")
    return roles

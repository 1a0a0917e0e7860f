"""Where a run works: the data folder, the two database connections, the dated tables and the policy."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from include.carm.calendar import Calendar
from include.carm.errors import Unavailable, UsageError
from include.carm.policy import Policy
from include.working_folders import spill_folder

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from include.carm.period import Period
    from include.lake import Lake


@dataclass(frozen=True)
class Workspace:
    """Everything that a step needs to know about its surroundings; made once a task.

    ``source_url`` and ``apply_url`` are SQLAlchemy URLs: what the pipeline reads, and where it changes accounts and
    keeps its own ``carm_*`` tables. Both may name the same database.
    """

    data: Path
    source_url: str
    apply_url: str
    calendar: Calendar
    policy: Policy

    @classmethod
    def open(
        cls,
        data: Path | str | None = None,
        *,
        source_url: str | None = None,
        apply_url: str | None = None,
        create: bool = True,
    ) -> Workspace:
        """Open ``data`` (default: ``CARM_DATA``, else ``data``); with ``create`` it is made, for its owner alone.

        Without URLs the source is ``source.db`` in that folder. Raises ``Unavailable`` when the folder cannot be used,
        and ``UsageError`` when it is not there and is not to be made, or when a configuration file is wrong.
        """
        folder = Path(data or os.environ.get("CARM_DATA") or "data").absolute()
        if create:
            _make_folder(folder)
        elif not folder.is_dir():
            raise UsageError(
                f"there is no data folder {folder}: name the right one with --data FOLDER or CARM_DATA, or fill one "
                "with `carm demo` or `carm load FOLDER`"
            )
        source = source_url or f"sqlite:///{folder / 'source.db'}"
        return cls(folder, source, apply_url or source, Calendar.load(), Policy.load())

    @cached_property
    def source(self) -> Engine:
        """The engine behind ``carm_source``: reads only."""
        return self._connect(self.source_url)

    @cached_property
    def operations(self) -> Engine:
        """The engine behind ``carm_apply``: the ``carm_*`` tables, and the accounts when a plan is applied."""
        return self.source if self.apply_url == self.source_url else self._connect(self.apply_url)

    def _connect(self, url: str) -> Engine:
        from include.database import connect_engine

        return connect_engine(url, lake=self.data / "lake")

    def lake(self, area: str = "lake") -> Lake:
        """The lake of ``area``: ``lake`` (the record) or ``shadow``."""
        from include.lake import Lake

        return Lake(self.data, self.operations, area)

    def documents(self, area: str = "lake") -> Path:
        """The folder of rendered documents that goes with the lake of ``area``."""
        return self.data / "documents" if area == "lake" else self.data / "shadow" / "documents"

    def statement_packs(self, period: Period, area: str = "lake") -> Path:
        """Where the packs of a month's statements lie, those of brokers and of later versions too."""
        return self.documents(area) / "soa" / f"period={period}"

    def staging(self, run_id: str, step: str) -> Path:
        """The folder in which one step of one run puts what is not published yet; emptied by the step itself."""
        safe = "".join(character if character.isalnum() else "-" for character in run_id)
        return self.data / "work" / safe / step

    def spill_folder(self) -> AbstractContextManager[Path]:
        """A folder for DuckDB's temporary files, gone when nobody in this process uses it any more."""
        return spill_folder(self.data / "work")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise Unavailable(
            f"cannot use the data folder {folder} ({error.strerror}): name another with DATA=folder or CARM_DATA"
        ) from error

"""Reads ``airflow_settings.yaml``: the connections, pools and variables of a local Airflow (Astro's convention).

Airflow itself never reads that file; Astro's ``astro dev start`` and ``include.local_airflow`` hand it over. What is
here does not import Airflow, so that a command beside Airflow reaches the same databases as the Dags.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from include.carm.errors import UsageError
from include.carm.settings_file import Settings

SETTINGS_FILE = Path(__file__).absolute().parents[1] / "airflow_settings.yaml"

_CONNECTION_KEYS = ("conn_id", "conn_type", "conn_host", "conn_schema", "conn_login", "conn_password", "conn_port")
_DIALECTS = {"sqlite": "sqlite", "postgres": "postgresql", "postgresql": "postgresql"}


@dataclass(frozen=True)
class ConnectionSettings:
    """One connection, with the fields and names that Airflow gives it."""

    conn_id: str
    conn_type: str
    host: str | None = None
    schema: str | None = None
    login: str | None = None
    password: str | None = None
    port: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, conn_id: str, written: str) -> Self:
        """Read what Airflow takes as a connection in one text: a JSON object, or a URI.

        Raises ``UsageError`` for what is neither; the text itself may be secret and is not repeated.
        """
        if not written.lstrip().startswith("{"):
            return cls.parse_uri(conn_id, written)
        try:
            fields = json.loads(written)
            extra = fields.pop("extra", None) or {}
            fields["extra"] = json.loads(extra) if isinstance(extra, str) else extra
            return cls(conn_id, **fields)
        except (ValueError, TypeError) as error:
            raise UsageError(
                f"connection {conn_id} is not written as Airflow reads it: see its guide to AIRFLOW_CONN_"
            ) from error

    @classmethod
    def parse_uri(cls, conn_id: str, uri: str) -> Self:
        """Read ``type://login:password@host:port/schema?extra=…``; a SQLite path is its ``host``, as in Airflow."""
        parts = urlsplit(uri)
        text = {"login": parts.username, "password": parts.password, "host": parts.hostname}
        fields = {name: unquote(value) if value else None for name, value in text.items()}
        schema = unquote(parts.path.removeprefix("/")) or None
        if parts.scheme == "sqlite" and schema:
            fields["host"], schema = schema, None
        return cls(conn_id, parts.scheme, schema=schema, port=parts.port, extra=dict(parse_qsl(parts.query)), **fields)

    def web_address(self) -> str:
        """The address of the server behind this connection: ``schema://host:port``, without a schema ``http``.

        The host may be a whole address, with a path below which the server answers.
        """
        address = str(self.host) if "://" in str(self.host) else f"{self.schema or 'http'}://{self.host}"
        return f"{address}:{self.port}" if self.port else address

    def database_url(self, data: Path | str) -> str:
        """The SQLAlchemy URL of the database behind this connection.

        A relative SQLite path lies below the data folder ``data``, so that one settings file serves every folder.
        Raises ``UsageError`` for a connection that is not to SQLite or PostgreSQL, or that names no database.
        """
        from sqlalchemy.engine import URL

        dialect = _DIALECTS.get(self.conn_type)
        if dialect is None:
            raise UsageError(
                f"connection {self.conn_id} has the type '{self.conn_type}': make it a sqlite or postgres connection"
            )
        if dialect == "sqlite":
            if not self.host:
                raise UsageError(f"connection {self.conn_id} names no file: write the path of the database as its host")
            return URL.create("sqlite", database=str(Path(data).absolute() / self.host)).render_as_string()
        if not self.schema:
            raise UsageError(f"connection {self.conn_id} names no database: write its name as the connection's schema")
        url = URL.create(
            dialect,
            self.login,
            self.password,
            self.host,
            self.port,
            self.schema,
            {name: str(value) for name, value in self.extra.items()},
        )
        return url.render_as_string(hide_password=False)


@dataclass(frozen=True)
class AirflowSettings:
    """What the settings file holds; ``pools`` maps a name to its slots and description, ``variables`` to a text."""

    connections: dict[str, ConnectionSettings]
    pools: dict[str, tuple[int, str]]
    variables: dict[str, str]

    @classmethod
    def load(cls, path: Path = SETTINGS_FILE) -> Self:
        """Read the file. Raises ``UsageError`` that names file and key. Entries without a name are left out, for
        Astro writes such an empty entry into a new file as a form to fill in."""
        settings = Settings.load(path).section("airflow")
        settings.allow("connections", "pools", "variables")
        connections = [_read_connection(entry) for entry in _entries(settings, "connections", "conn_id")]
        return cls(
            {connection.conn_id: connection for connection in connections},
            {
                entry.text("pool_name"): (
                    entry.count("pool_slot", least=1),
                    str(entry.values.get("pool_description") or ""),
                )
                for entry in _entries(settings, "pools", "pool_name")
            },
            {
                entry.text("variable_name"): str(entry.values.get("variable_value") or "")
                for entry in _entries(settings, "variables", "variable_name")
            },
        )

    def with_connection(self, connection: ConnectionSettings) -> Self:
        """The same settings with ``connection``, unless the file has one of that name."""
        return replace(self, connections={connection.conn_id: connection, **self.connections})

    def database_url(self, conn_id: str, data: Path | str) -> str:
        """The URL behind a connection; raises as :meth:`connection` and ``ConnectionSettings.database_url`` do."""
        return self.connection(conn_id).database_url(data)

    def connection(self, conn_id: str) -> ConnectionSettings:
        """A connection: of the variable AIRFLOW_CONN_… where it is set, as in Airflow, else of the file.

        Raises ``UsageError`` when neither has it.
        """
        if written := os.environ.get(f"AIRFLOW_CONN_{conn_id.upper()}"):
            return ConnectionSettings.parse(conn_id, written)
        if conn_id not in self.connections:
            raise UsageError(f"{SETTINGS_FILE.name} has no connection {conn_id}: add it")
        return self.connections[conn_id]


def _entries(settings: Settings, name: str, key: str) -> list[Settings]:
    if not settings.values.get(name):
        return []
    return [entry for entry in settings.sections(name) if entry.values.get(key)]


def _read_connection(entry: Settings) -> ConnectionSettings:
    entry.allow(*_CONNECTION_KEYS, "conn_uri", "conn_extra")
    conn_id = entry.text("conn_id")
    if entry.values.get("conn_uri"):
        return ConnectionSettings.parse_uri(conn_id, entry.text("conn_uri"))
    texts = {name: entry.values.get(f"conn_{name}") for name in ("host", "schema", "login", "password")}
    return ConnectionSettings(
        conn_id,
        entry.text("conn_type"),
        port=entry.count("conn_port", least=1, most=65535) if entry.values.get("conn_port") else None,
        extra=_read_extra(entry),
        **{name: str(value) if value not in (None, "") else None for name, value in texts.items()},
    )


def _read_extra(entry: Settings) -> dict[str, Any]:
    extra = entry.values.get("conn_extra") or {}
    if isinstance(extra, str):
        try:
            extra = json.loads(extra)
        except ValueError:
            extra = None
    if not isinstance(extra, dict):
        raise entry.wrong("conn_extra", "is not a mapping: write keys and values, or a JSON object")
    return extra

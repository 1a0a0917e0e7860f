"""The settings of the local Airflow, as the environment of its processes."""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from include.carm.errors import Unavailable, UsageError

PROJECT_FOLDER = Path(__file__).absolute().parents[2]
HOST = "127.0.0.1"
PEOPLE = {"admin": "admin", "approver": "user", "viewer": "viewer"}
"""Log-in and role. An approver may trigger, clear and answer, but changes no connection, pool or variable."""
SERVICE_USER = "service"
"""As whom the tasks ask Airflow who stands behind a run: a viewer, the least role that may read the event log."""
USERS = {**PEOPLE, SERVICE_USER: "viewer"}


@dataclass(frozen=True)
class Keys:
    """What Airflow's processes must share, and what people log in with; made once a data folder."""

    fernet_key: str
    jwt_secret: str
    session_secret: str
    passwords: dict[str, str]

    @classmethod
    def open(cls, home: Path) -> Keys:
        """Read the keys of Airflow's ``home``, or make what is missing. Only the owner can read the file."""
        file = home / "keys.json"
        if file.exists():
            keys = cls(**json.loads(file.read_text(encoding="utf-8")))
        else:
            keys = cls(
                base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
                secrets.token_urlsafe(64),
                secrets.token_urlsafe(32),
                {},
            )
        missing = [user for user in USERS if user not in keys.passwords]
        if missing:
            keys.passwords.update({user: secrets.token_urlsafe(9) for user in missing})
            (home / "passwords.json").write_text(json.dumps(keys.passwords), encoding="utf-8")
            # Renamed into place, so that a run that is stopped here does not leave half a file behind.
            fresh = file.with_suffix(".new")
            fresh.write_text(json.dumps(vars(keys)), encoding="utf-8")
            fresh.rename(file)
        return keys


PAUSE_FOR_SECONDS, PAUSE_FOR_MINUTES = 0.1, 0.5
"""The scheduler's pause, in seconds, between two looks that find nothing to do: for tasks that take seconds, as those
over a SQLite source do, and for tasks that take minutes. With its default of one second a chain of small tasks takes
thrice as long; looking ten times a second takes a fifth of a core from the tasks themselves."""


def airflow_environment(
    data: Path, port: int, keys: Keys, *, scheduler_pause: float = PAUSE_FOR_SECONDS
) -> dict[str, str]:
    """The environment in which every Airflow process of the data folder ``data`` runs.

    It goes over what the caller's environment says, for two Airflows may be on one machine.
    """
    home = data / "airflow"
    address = f"http://{HOST}:{port}"
    settings = {
        "CORE__DAGS_FOLDER": PROJECT_FOLDER / "dags",
        "CORE__PLUGINS_FOLDER": PROJECT_FOLDER / "plugins",
        "CORE__LOAD_EXAMPLES": False,
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": False,
        # In plugins/: what nearly every task imports is imported once, before its processes are forked.
        "CORE__EXECUTOR": "warm_local_executor.WarmLocalExecutor",
        # Each slot is a process of its own. A month uses up to three at a time.
        "CORE__PARALLELISM": 4,
        "CORE__FERNET_KEY": keys.fernet_key,
        "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{user}:{role}" for user, role in USERS.items()),
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": home / "passwords.json",
        "CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "API__HOST": HOST,
        "API__PORT": port,
        "API__BASE_URL": address,
        "API__WORKERS": 1,
        "API__SECRET_KEY": keys.session_secret,
        "API_AUTH__JWT_SECRET": keys.jwt_secret,
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": scheduler_pause,
        # A slot notices the end of its task only this many seconds later; the default of 5 would need thrice the slots.
        "WORKERS__MIN_HEARTBEAT_INTERVAL": 1,
        # A task that fills both cores makes the server answer slowly; that alone is no failure.
        "WORKERS__EXECUTION_API_TIMEOUT": 60,
        "LOGGING__BASE_LOG_FOLDER": home / "logs",
        "LOGGING__LOG_FILENAME_TEMPLATE": LOG_FILE_TEMPLATE,
        "LOGGING__FILE_TASK_HANDLER_NEW_FOLDER_PERMISSIONS": "0o700",
        "LOGGING__FILE_TASK_HANDLER_NEW_FILE_PERMISSIONS": "0o600",
        "LOGGING__COLORED_CONSOLE_LOG": False,
        "USAGE_DATA_COLLECTION__ENABLED": False,
    }
    return (
        os.environ
        | {f"AIRFLOW__{name}": str(value) for name, value in settings.items()}
        | {
            "AIRFLOW_HOME": str(home),
            "CARM_DATA": str(data),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(PROJECT_FOLDER), os.environ.get("PYTHONPATH")])),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            # A proxy for the internet must not come between Airflow's processes.
            "NO_PROXY": ",".join(filter(None, [HOST, "localhost", os.environ.get("NO_PROXY")])),
            "no_proxy": ",".join(filter(None, [HOST, "localhost", os.environ.get("no_proxy")])),
            "SCARF_ANALYTICS": "false",
            "GX_ANALYTICS_ENABLED": "false",
        }
    )


# Airflow's own template, written down because the runner reads these files.
LOG_FILE_TEMPLATE = (
    "dag_id={{ ti.dag_id }}/run_id={{ ti.run_id }}/task_id={{ ti.task_id }}/"
    "{% if ti.map_index >= 0 %}map_index={{ ti.map_index }}/{% endif %}"
    "attempt={{ try_number|default(ti.try_number) }}.log"
)


def task_log_file(home: Path, dag_id: str, run_id: str, task_id: str, map_index: int, attempt: int) -> Path:
    """Where one attempt of one task wrote its log."""
    folder = home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task_id}"
    return (folder / f"map_index={map_index}" if map_index >= 0 else folder) / f"attempt={attempt}.log"


def choose_port(written: str, default: int | None = None) -> int:
    """The port to listen on: the one that was asked for, else ``default``, else any free one.

    Raises ``UsageError`` for what is not a port, ``Unavailable`` when it is in use.
    """
    if written and not (written.isdecimal() and 1 <= int(written) <= 65535):
        raise UsageError(f"port '{written}' is not a port: write a number from 1 to 65535, for example PORT=8081")
    port = int(written) if written else default or 0
    with socket.socket() as probe:
        # As the server does it, so that a port on which an old connection still lingers counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError:
            raise Unavailable(
                f"port {port} needs special rights: choose one above 1023, for example PORT=8081"
            ) from None
        except OSError:
            raise Unavailable(
                f"port {port} is in use: stop what listens there, or choose another with PORT=8081"
            ) from None
        return int(probe.getsockname()[1])

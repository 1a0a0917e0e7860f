"""The portal as Airflow's api-server serves it: who may open its pages, and whom it asks about runs.

Imported by the first request and by nothing else, so that no other process of Airflow pays for it. Only what needs
Airflow is here; the pages are ``include/portal``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.configuration import conf
from airflow.sdk import Connection
from fastapi import HTTPException, Request
from httpx import ASGITransport, AsyncClient

from include.airflow_settings import ConnectionSettings
from include.portal.app import create_app
from include.portal.staff import Answer, Staff, current_staff
from include.system_clock import SystemClock
from include.workspace import Workspace


@cache
def open_workspace() -> Workspace:
    """The workspace of this Airflow's connections, opened once a process."""
    data = os.environ.get("CARM_DATA") or "data"
    source, apply = (_database_url(conn_id, data) for conn_id in ("carm_source", "carm_apply"))
    return Workspace.open(data, source_url=source, apply_url=apply, create=False)


def _database_url(conn_id: str, data: str) -> str:
    connection = Connection.get(conn_id)
    return ConnectionSettings(
        conn_id=conn_id,
        conn_type=connection.conn_type,
        host=connection.host,
        schema=connection.schema,
        login=connection.login,
        password=connection.password,
        port=connection.port,
        extra=connection.extra_dejson,
    ).database_url(data)


def staff_of(request: Request, user: GetUserDep) -> Staff:
    """Who is logged in, and what Airflow lets that person do. Raises 401 without a log-in, 403 without the right."""
    rights = get_auth_manager()
    if not rights.is_authorized_view(access_view=AccessView.PLUGINS, user=user):
        raise HTTPException(403, "this needs the right to see plugins: ask who administers Airflow")

    def may_start(dag_id: str) -> bool:
        return rights.is_authorized_dag(
            method="POST", access_entity=DagAccessEntity.RUN, details=DagDetails(id=dag_id), user=user
        )

    async def ask_airflow(method: str, path: str, body: Mapping[str, Any] | None) -> Answer:
        return await _ask(request, method, path, body)

    return Staff(user.get_name(), may_start, ask_airflow)


async def _ask(request: Request, method: str, path: str, body: Mapping[str, Any] | None) -> Answer:
    """A request to the app around the portal, with the log-in of the request at hand; nothing leaves the process."""
    # An error of that app is an answer with its status, as over a network.
    around = ASGITransport(request.scope["app_around"], raise_app_exceptions=False)
    async with AsyncClient(transport=around, base_url="http://airflow") as client:
        log_in = {"Authorization": f"Bearer {_token(request)}"}
        answer = await client.request(method, f"/api/v2{path}", json=body, headers=log_in)
    try:
        return answer.status_code, answer.json()
    except json.JSONDecodeError:
        return answer.status_code, None


def _token(request: Request) -> str:
    """The token that let the request in: a bearer goes before the cookie, as Airflow has it."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else request.cookies[COOKIE_NAME_JWT_TOKEN]


app = create_app(open_workspace, conf.get("api", "secret_key"), SystemClock().instant)
app.dependency_overrides[current_staff] = staff_of

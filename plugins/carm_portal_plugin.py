"""The portal in Airflow: its pages under ``/carm``, its entry in the navigation, and who may open them.

Only what needs Airflow is here; the pages are ``include/portal``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.configuration import conf
from airflow.models import Connection
from airflow.plugins_manager import AirflowPlugin
from fastapi import FastAPI, HTTPException, Request
from httpx import ASGITransport, AsyncClient

from include.airflow_settings import ConnectionSettings
from include.portal.app import create_app
from include.portal.staff import Answer, Staff, current_staff
from include.workspace import Workspace

PREFIX = "/carm"


@cache
def open_workspace() -> Workspace:
    """The workspace of this Airflow's connections, opened once a process."""
    data = os.environ.get("CARM_DATA") or "data"
    source, apply = (_database_url(conn_id, data) for conn_id in ("carm_source", "carm_apply"))
    return Workspace.open(data, source_url=source, apply_url=apply, create=False)


def _database_url(conn_id: str, data: str) -> str:
    connection = Connection.get_connection_from_secrets(conn_id)
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
        return rights.is_authorized_dag(method="POST", details=DagDetails(id=dag_id), user=user)

    async def ask_airflow(method: str, path: str, body: Mapping[str, Any] | None) -> Answer:
        return await _ask(request, method, path, body)

    return Staff(user.get_name(), may_start, ask_airflow)


async def _ask(request: Request, method: str, path: str, body: Mapping[str, Any] | None) -> Answer:
    """A request to the app around the portal, with the log-in of the request at hand; nothing leaves the process."""
    around = request.scope["app_around"]
    given = request.headers.get("authorization")
    headers = {"Authorization": given or f"Bearer {request.cookies[COOKIE_NAME_JWT_TOKEN]}"}
    async with AsyncClient(transport=ASGITransport(around), base_url="http://airflow") as client:
        answer = await client.request(method, f"/api/v2{path}", json=body, headers=headers)
    try:
        return answer.status_code, answer.json()
    except json.JSONDecodeError:
        return answer.status_code, None


class Mounted:
    """The portal as Airflow mounts it; it remembers the app around it, whose API it asks."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app({**scope, "app_around": scope.get("app")}, receive, send)


app = create_app(open_workspace, conf.get("api", "secret_key"))
app.dependency_overrides[current_staff] = staff_of


class CarmPortalPlugin(AirflowPlugin):
    """Pages for staff beside Airflow's own."""

    name = "carm_portal"
    fastapi_apps = [{"app": Mounted(app), "url_prefix": PREFIX, "name": "CARM portal"}]
    external_views = [
        {"name": "CARM", "href": "carm/months", "destination": "nav", "url_route": "carm"},
    ]

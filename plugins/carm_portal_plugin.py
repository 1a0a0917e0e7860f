"""The portal in Airflow: its pages under ``/carm``, its entry in the navigation, and a tab beside each run.

Every process of Airflow reads this file, the one of each task too, and the api-server alone needs the portal. So what
it is made of (``carm_portal.py``) is imported by the first request.
"""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin


class Portal:
    """The portal as Airflow mounts it. It remembers the app around it, whose API it asks about runs."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        from carm_portal import app

        await app({**scope, "app_around": scope["app"]}, receive, send)


class CarmPortalPlugin(AirflowPlugin):
    """Pages for staff beside Airflow's own.

    The addresses are relative to that of Airflow's own page, so that a prefix which a proxy adds does not matter.
    """

    name = "carm_portal"
    fastapi_apps: ClassVar = [{"app": Portal(), "url_prefix": "/carm", "name": "CARM portal"}]
    external_views: ClassVar = [
        {"name": "CARM", "href": "carm/months", "destination": "nav", "url_route": "carm"},
        {
            "name": "CARM",
            "href": "carm/dag-run?dag_id={DAG_ID}&run_id={RUN_ID}",
            "destination": "dag_run",
            "url_route": "carm-run",
        },
    ]

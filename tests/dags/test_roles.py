"""What docs/security.md says of Airflow's roles is what the auth manager of the local commands lets them do."""

from __future__ import annotations

from typing import Any

import pytest

from include.airflow_settings import AirflowSettings
from include.carm.recipients import SHIPPED_KEY
from include.local_airflow.environment import USERS

# Role, then: reads Dags, starts and clears runs, answers, sees connections, changes them.
RIGHTS = {
    "viewer": (True, False, False, False, False),
    "user": (True, True, True, False, False),
    "op": (True, True, True, True, True),
    "admin": (True, True, True, True, True),
}


@pytest.fixture
def manager(airflow_home: Any) -> Any:
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

    return SimpleAuthManager()


@pytest.mark.parametrize("role", RIGHTS)
def test_a_role_may_what_the_page_says(manager, role):
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    user = SimpleAuthManagerUser(username=role, role=role)
    assert RIGHTS[role] == (
        manager.is_authorized_dag(method="GET", user=user),
        manager.is_authorized_dag(method="POST", access_entity=DagAccessEntity.RUN, user=user),
        manager.is_authorized_dag(method="PUT", access_entity=DagAccessEntity.HITL_DETAIL, user=user),
        manager.is_authorized_connection(method="GET", user=user),
        manager.is_authorized_connection(method="PUT", user=user),
    )


def test_the_log_ins_of_the_local_commands_have_no_more_than_they_need():
    assert USERS == {"admin": "admin", "approver": "user", "viewer": "viewer", "service": "viewer"}


def test_the_settings_that_are_shipped_hold_no_secret():
    connections = AirflowSettings.load().connections
    assert {name: connection.password for name, connection in connections.items()} == dict.fromkeys(connections)
    assert connections["carm_smtp"].extra["recipient_hash_key"].encode() == SHIPPED_KEY
    assert not any("pass" in key or "secret" in key for connection in connections.values() for key in connection.extra)

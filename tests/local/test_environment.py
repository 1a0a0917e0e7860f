"""The settings of the local Airflow: where it listens, who may log in, what lies where."""

import json
import os
import re
import socket
import stat

import pytest

from include.airflow_settings import AirflowSettings
from include.carm.errors import Unavailable, UsageError
from include.local_airflow.airflow import LocalAirflow
from include.local_airflow.environment import HOST, USERS, Keys, airflow_environment, choose_port, task_log_file
from include.local_airflow.progress import Progress

KEYS = Keys("fernet", "jwt", "session", dict.fromkeys(USERS, "password"))


def test_keys_are_made_once_and_kept(tmp_path):
    first = Keys.open(tmp_path)
    assert Keys.open(tmp_path) == first
    assert json.loads((tmp_path / "passwords.json").read_text()) == first.passwords
    assert list(first.passwords) == ["admin", "approver", "viewer", "service"]
    assert len(set(first.passwords.values())) == 4


def test_a_user_that_is_new_gets_a_password_and_the_others_keep_theirs(tmp_path):
    first = Keys.open(tmp_path)
    kept = {user: password for user, password in first.passwords.items() if user != "service"}
    (tmp_path / "keys.json").write_text(json.dumps({**vars(first), "passwords": kept}))
    renewed = Keys.open(tmp_path)
    assert {**renewed.passwords, "service": ""} == {**kept, "service": ""}
    assert renewed.passwords["service"]
    assert json.loads((tmp_path / "passwords.json").read_text()) == renewed.passwords
    assert renewed.fernet_key == first.fernet_key


def test_the_service_user_has_the_least_role_and_only_people_may_answer(tmp_path):
    users = airflow_environment(tmp_path, 8080, KEYS)["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"].split(",")
    assert users == ["admin:admin", "approver:user", "viewer:viewer", "service:viewer"]


def test_nobody_else_can_read_the_keys(tmp_path):
    before = os.umask(0o077)
    try:
        Keys.open(tmp_path)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}


def test_airflow_listens_on_this_machine_alone_and_tells_nobody_about_itself(tmp_path):
    found = airflow_environment(tmp_path, 8080, KEYS)
    assert found["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert found["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:8080"
    assert found["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:8080/execution/"
    assert found["AIRFLOW__USAGE_DATA_COLLECTION__ENABLED"] == "False"
    assert (found["SCARF_ANALYTICS"], found["GX_ANALYTICS_ENABLED"]) == ("false", "false")


def test_everything_airflow_keeps_lies_below_the_data_folder(tmp_path):
    found = airflow_environment(tmp_path, 8080, KEYS)
    home = str(tmp_path / "airflow")
    assert found["AIRFLOW_HOME"] == home
    assert found["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == f"sqlite:///{home}/airflow.db"
    assert found["AIRFLOW__LOGGING__BASE_LOG_FOLDER"] == f"{home}/logs"
    assert found["CARM_DATA"] == str(tmp_path)


def test_no_proxy_comes_between_the_processes_and_the_callers_exceptions_stay(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "intranet.example")
    monkeypatch.delenv("no_proxy", raising=False)
    found = airflow_environment(tmp_path, 8080, KEYS)
    assert found["NO_PROXY"] == "127.0.0.1,localhost,intranet.example"
    assert found["no_proxy"] == "127.0.0.1,localhost"


def test_a_log_is_looked_for_where_airflow_was_told_to_write_it(tmp_path):
    template = airflow_environment(tmp_path, 1, KEYS)["AIRFLOW__LOGGING__LOG_FILENAME_TEMPLATE"]
    import jinja2

    for map_index in (-1, 3):
        ti = {"dag_id": "d", "run_id": "r", "task_id": "g.t", "map_index": map_index, "try_number": 1}
        written = jinja2.Template(template).render(ti=ti, try_number=2)
        assert task_log_file(tmp_path, "d", "r", "g.t", map_index, 2) == tmp_path / "logs" / written


# --- Ports ------------------------------------------------------------------------------------------------------


def test_a_port_in_use_is_refused_with_the_way_out():
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=rf"^port {port} is in use: .* PORT=8081$"):
            choose_port(str(port))


def test_without_a_word_any_free_port_is_taken():
    assert choose_port("") > 1023


def test_the_default_is_taken_where_it_is_free():
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    assert choose_port("", port) == port


@pytest.mark.parametrize("wrong", ["eighty", "0", "65536", "-1", "80 80", "8080.0"])
def test_what_is_no_port_is_wrong_usage(wrong):
    with pytest.raises(UsageError, match=rf"^port '{re.escape(wrong)}' is not a port"):
        choose_port(wrong)


@pytest.mark.parametrize(
    ("connection", "pause"), [('{"conn_type": "sqlite", "host": "source.db"}', "0.1"), ("postgres://host/crm", "0.5")]
)
def test_the_scheduler_looks_less_often_where_tasks_take_minutes(tmp_path, monkeypatch, connection, pause):
    monkeypatch.setenv("AIRFLOW_CONN_CARM_SOURCE", connection)
    airflow = LocalAirflow(tmp_path, 8080, AirflowSettings.load(), Progress())
    assert airflow.processes.environment["AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME"] == pause

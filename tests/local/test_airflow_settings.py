"""The settings file says the same to Airflow and to the commands beside it."""

from pathlib import Path

import pytest

from include.airflow_settings import AirflowSettings, ConnectionSettings
from include.carm.errors import UsageError


def settings(tmp_path: Path, text: str) -> AirflowSettings:
    file = tmp_path / "airflow_settings.yaml"
    file.write_text(f"airflow:\n{text}", encoding="utf-8")
    return AirflowSettings.load(file)


def test_the_settings_of_the_project_name_what_the_dags_use(tmp_path):
    found = AirflowSettings.load()
    assert sorted(found.connections) == ["carm_apply", "carm_smtp", "carm_source"]
    assert sorted(found.pools) == ["carm_compute", "carm_database", "carm_mail", "carm_source", "carm_watch"]
    for conn_id in ("carm_source", "carm_apply"):
        assert found.database_url(conn_id, tmp_path) == f"sqlite:///{tmp_path}/source.db"
    smtp = found.connections["carm_smtp"]
    assert (smtp.host, len(smtp.extra["recipient_hash_key"]) >= 16) == ("127.0.0.1", True)


def test_a_postgresql_connection_becomes_a_url_with_its_password_quoted(tmp_path):
    found = settings(
        tmp_path,
        "  connections:\n"
        "    - {conn_id: carm_source, conn_type: postgres, conn_host: db.example, conn_port: 5433,\n"
        "       conn_login: reader, conn_password: 'p@ss/word', conn_schema: ledger,\n"
        '       conn_extra: \'{"sslmode": "require"}\'}\n',
    )
    expected = "postgresql://reader:p%40ss%2Fword@db.example:5433/ledger?sslmode=require"
    assert found.database_url("carm_source", "data") == expected


def test_an_empty_form_of_astro_is_left_out(tmp_path):
    form = "  connections:\n    - {conn_id: , conn_type: }\n  pools:\n    - {pool_name: , pool_slot: }\n  variables:\n"
    assert settings(tmp_path, form) == AirflowSettings({}, {}, {})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("  conections: []\n", "conections is unknown"),
        ("  connections:\n    - {conn_id: a, conn_type: sqlite, host: x}\n", r"connections\[0\].host is unknown"),
        ("  connections:\n    - {conn_id: a}\n", r"connections\[0\].conn_type is missing"),
        ("  connections:\n    - {conn_id: a, conn_type: x, conn_port: many}\n", "conn_port is 'many'"),
        ("  connections:\n    - {conn_id: a, conn_type: x, conn_extra: '[1]'}\n", "conn_extra is not a mapping"),
        ("  pools:\n    - {pool_name: a, pool_slot: 0}\n", "pool_slot is 0"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(tmp_path, text, complaint):
    with pytest.raises(UsageError, match=complaint):
        settings(tmp_path, text)


@pytest.mark.parametrize(
    ("connection", "complaint"),
    [
        (ConnectionSettings("carm_source", "mysql", "db"), "has the type 'mysql': make it a sqlite or postgres"),
        (ConnectionSettings("carm_source", "sqlite"), "names no file"),
        (ConnectionSettings("carm_source", "postgres", "db"), "names no database"),
    ],
)
def test_a_connection_that_leads_nowhere_is_refused(connection, complaint):
    with pytest.raises(UsageError, match=complaint):
        connection.database_url("data")


def test_a_missing_connection_is_named(tmp_path):
    with pytest.raises(UsageError, match="has no connection carm_apply"):
        settings(tmp_path, "  connections: []\n").database_url("carm_apply", "data")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("postgres://u:p%40@h:1/d?sslmode=require", "postgresql://u:p%40@h:1/d?sslmode=require"),
        ("sqlite:////srv/ledger.db", "sqlite:////srv/ledger.db"),
        ('{"conn_type": "sqlite", "host": "/srv/ledger.db"}', "sqlite:////srv/ledger.db"),
        ('{"conn_type": "postgres", "host": "h", "schema": "d", "extra": "{\\"a\\": 1}"}', "postgresql://h/d?a=1"),
    ],
)
def test_a_connection_of_the_environment_goes_over_the_file(tmp_path, monkeypatch, written, expected):
    monkeypatch.setenv("AIRFLOW_CONN_CARM_SOURCE", written)
    assert AirflowSettings.load().database_url("carm_source", tmp_path) == expected


@pytest.mark.parametrize(
    ("connection", "expected"),
    [
        (ConnectionSettings("c", "http", "127.0.0.1", port=8080), "http://127.0.0.1:8080"),
        (ConnectionSettings("c", "http", "airflow.example", schema="https"), "https://airflow.example"),
        (ConnectionSettings("c", "http", "https://example.org/airflow"), "https://example.org/airflow"),
        (ConnectionSettings.parse("c", "http://u:p@airflow.example:8443/https"), "https://airflow.example:8443"),
    ],
)
def test_a_connection_leads_to_a_server(connection, expected):
    assert connection.web_address() == expected


def test_a_connection_of_the_file_goes_over_the_one_that_the_runner_makes(tmp_path):
    made = ConnectionSettings("carm_airflow", "http", "127.0.0.1", port=8080)
    assert AirflowSettings.load().with_connection(made).connections["carm_airflow"] == made
    written = settings(tmp_path, "  connections:\n    - {conn_id: carm_airflow, conn_type: http, conn_host: other}\n")
    assert written.with_connection(made).connections["carm_airflow"].host == "other"


def test_a_connection_that_cannot_be_read_keeps_its_secret():
    with pytest.raises(UsageError) as refusal:
        ConnectionSettings.parse("carm_source", '{"conn_type": "sqlite", "passwort": "hidden"}')
    assert "hidden" not in str(refusal.value)

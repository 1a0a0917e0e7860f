"""What is told of a month through Airflow: its run, what lies around it, and when nobody was at work."""

import sqlite3
from contextlib import closing
from pathlib import Path

from bench.airflow_step import _orchestration


def test_seconds_around_the_run_and_between_its_tasks_are_told(tmp_path: Path) -> None:
    database = tmp_path / "airflow.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE dag_run (run_id, dag_id, start_date, end_date)")
        connection.execute("CREATE TABLE task_instance (run_id, dag_id, start_date, end_date)")
        run = ("one", "carm_month", "2021-12-25 10:00:00", "2021-12-25 10:01:00")
        connection.execute("INSERT INTO dag_run VALUES (?, ?, ?, ?)", run)
        # Two at a time, a pause of three seconds, and two more before the run ends.
        spans = [("10:00:00", "10:00:30"), ("10:00:10", "10:00:40"), ("10:00:43", "10:00:58")]
        for begun, ended in spans:
            task = ("one", "carm_month", f"2021-12-25 {begun}", f"2021-12-25 {ended}")
            connection.execute("INSERT INTO task_instance VALUES (?, ?, ?, ?)", task)
        connection.commit()

    expected = "the Dag run 60.0 s, 5.0 s of it between tasks; 15.0 s before and after it"
    assert _orchestration(database, 75.0) == expected

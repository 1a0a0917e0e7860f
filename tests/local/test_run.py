"""Whole months through a real Airflow: its own processes, a demo source, and a person who is hasty or unlucky.

Each start of Airflow costs a quarter of a minute, so the tests go one after the other over one data folder, as somebody
at a terminal would.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as default_policy
from pathlib import Path

import psutil
import pytest
from icalendar import Calendar
from sqlalchemy import insert, select

from include.database import connect_engine, write_transaction
from include.demo import fill_demo
from include.local_airflow.mailbox import count_mails, mailbox_of
from include.source_schema import TABLES
from include.webinar_calendar import session_token
from tests.pipeline import hashes

PROJECT = Path(__file__).parents[2]
PATIENCE_SECONDS = 300


def start(data: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "include.local_airflow", *words, "--data", str(data)],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(data: Path, *words: str) -> tuple[int, list[str]]:
    """Exit code and lines of one command."""
    command = start(data, *words)
    output, _ = command.communicate(timeout=PATIENCE_SECONDS)
    return command.returncode, output.splitlines()


def read_until(command: subprocess.Popen[str], word: str) -> list[str]:
    assert command.stdout is not None
    lines = []
    for line in command.stdout:
        lines.append(line)
        if word in line:
            return lines
    raise AssertionError("".join(lines))


def started_processes(data: Path) -> list[psutil.Process]:
    """Airflow's processes that work for this data folder."""
    written = json.loads((data / "airflow" / "processes.json").read_text())
    sessions = {pid for pid, _ in written}
    return [psutil.Process(pid) for pid in psutil.pids() if _session(pid) in sessions]


def wait_for_processes(data: Path, least: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (data / "airflow" / "processes.json").exists() or len(started_processes(data)) < least:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder whose source is a small demo world with a short past: what is computed is proved elsewhere."""
    folder = tmp_path_factory.mktemp("data")
    fill_demo(connect_engine(f"sqlite:///{folder / 'source.db'}", create=True), accounts=300, months=8)
    yield folder
    left = folder / "airflow" / "processes.json"
    assert not left.exists(), "a command left processes behind"


def test_a_run_whose_scheduler_is_killed_fails_with_one_line(data):
    command = start(data, "run", "--period", "2021-12")
    read_until(command, "open_month")
    processes = started_processes(data)
    scheduler = next(process for process in processes if "scheduler" in process.cmdline())
    scheduler.kill()
    output, _ = command.communicate(timeout=PATIENCE_SECONDS)
    *_, complaint, result = output.splitlines()
    assert complaint.startswith("Airflow's scheduler was killed by signal 9 in the middle of the work: give the same")
    assert (result, command.returncode) == ("RESULT: failed", 1)
    psutil.wait_procs(processes, timeout=10)
    assert [process for process in processes if process.is_running() and process.status() != "zombie"] == []


def test_the_same_command_again_completes_the_month(data):
    code, lines = run(data, "run", "--period", "2021-12")
    assert (lines[-1], code) == ("RESULT: done", 0), "\n".join(lines)
    assert any("was interrupted earlier: marked as failed" in line for line in lines)
    assert any("Statement month 2021-12" in line for line in lines)
    assert any("publish_webinar_notices" in line for line in lines)
    (outbox,) = [line for line in lines if line.startswith("Outbox of 2021-12: ")]
    assert f"planned 0, sent {count_mails(data):,}, failed 0, unknown 0" in outbox
    assert f"  {count_mails(data):,} mails in the local mailbox {mailbox_of(data)}, each a file below new/" in lines
    assert count_mails(data) > 100


def test_what_a_run_leaves_is_for_its_owner_alone(data):
    open_to_others = [path for path in data.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o077]
    assert open_to_others == []


def test_a_second_run_of_the_last_complete_month_changes_nothing(data):
    before, mails = hashes(data / "lake") | hashes(data / "documents"), count_mails(data)
    code, lines = run(data, "run")
    assert (lines[-1], code) == ("RESULT: unchanged", 0), "\n".join(lines)
    assert hashes(data / "lake") | hashes(data / "documents") == before
    assert "Mail: nothing to send" in lines
    assert count_mails(data) == mails


def each_mail(data: Path) -> dict[str, EmailMessage]:
    """The mails of the local mailbox by the names of their files."""
    files = sorted((mailbox_of(data) / "new").iterdir())
    return {file.name: message_from_bytes(file.read_bytes(), policy=default_policy) for file in files}


def entries(mail: EmailMessage) -> dict[str, tuple[int, str]]:
    """The entries of its calendar parts: the UID of each, with its sequence and its method."""
    found = {}
    for part in mail.walk():
        if part.get_content_type() == "text/calendar":
            calendar = Calendar.from_ical(part.get_content())
            for event in calendar.walk("VEVENT"):
                found[str(event["UID"])] = (int(event["SEQUENCE"]), str(calendar["METHOD"]))
    return found


def revise(data: Path, uid: str, **change: object) -> None:
    """A further revision of the session with the entry ``uid``, in the source."""
    with write_transaction(connect_engine(f"sqlite:///{data / 'source.db'}")) as connection:
        rows = connection.execute(select(TABLES["webinars"]).order_by("revision")).mappings().all()
        *_, last = [row for row in rows if uid.startswith(f"{session_token(row['webinar_id'])}@")]
        connection.execute(insert(TABLES["webinars"]), {**last, "revision": last["revision"] + 1, **change})


@pytest.mark.parametrize(
    ("change", "method"),
    [({"duration_minutes": 75}, "PUBLISH"), ({"status": "cancelled"}, "CANCEL")],
    ids=["a changed session", "a cancelled session"],
)
def test_who_knows_of_a_session_is_told_once_what_became_of_it(data, change, method):
    before = each_mail(data)
    known = [entries(mail) for mail in before.values()]
    # The one that most have been told of; who asked for the other language alone knows nothing of it.
    (uid, _), *_ = Counter(uid for found in known for uid in found).most_common(1)
    sequence = max(found[uid][0] for found in known if uid in found)
    told = {mail["To"] for mail, found in zip(before.values(), known, strict=True) if uid in found}
    revise(data, uid, **change)

    code, lines = run(data, "run")
    assert code == 0, "\n".join(lines)
    new = {name: mail for name, mail in each_mail(data).items() if name not in before}
    assert [entries(mail) for mail in new.values()] == [{uid: (sequence + 1, method)}] * len(told)
    assert sorted(mail["To"] for mail in new.values()) == sorted(told)
    assert len(told) > 10

    assert run(data, "run")[1][-1] == "RESULT: unchanged"
    assert count_mails(data) == len(before) + len(new)


def test_a_run_that_is_stopped_by_hand_stops_everything_it_started(data):
    command = start(data, "run")
    read_until(command, "starting Airflow")
    wait_for_processes(data, 3)
    processes = started_processes(data)
    command.send_signal(signal.SIGINT)
    output, _ = command.communicate(timeout=PATIENCE_SECONDS)
    assert (output.splitlines()[-1], command.returncode) == ("RESULT: failed", 130)
    assert [process for process in processes if process.is_running() and process.status() != "zombie"] == []


def test_a_backfill_runs_its_months_in_order_and_again_without_a_difference(data):
    words, mails = ("backfill", "--from-period", "2021-10", "--to-period", "2021-11"), count_mails(data)
    code, lines = run(data, *words)
    assert (lines[-1], code) == ("RESULT: done", 0), "\n".join(lines)
    months = [line.split()[3] for line in lines if line.endswith(("carm_month 2021-10", "carm_month 2021-11"))]
    assert months == ["2021-10", "2021-11"]
    assert all("effects shadow, 0 changes applied" in line for line in lines if line.startswith("2021-1"))
    before = hashes(data / "lake")
    code, lines = run(data, *words)
    assert (lines[-1], code) == ("RESULT: unchanged", 0), "\n".join(lines)
    assert hashes(data / "lake") == before
    assert count_mails(data) == mails


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["run", "--period", "2021-13"], 2, "period '2021-13' is not a month: write YYYY-MM, for example 2021-12"),
        (["run", "--effects", "dry"], 2, "effects 'dry' are unknown: write EFFECTS=auto, live or shadow"),
        (["run", "--port", "eighty"], 2, "port 'eighty' is not a port: write a number from 1 to 65535"),
        (["run", "--from", "/no/such/folder"], 2, "/no/such/folder"),
        (["backfill"], 2, "a backfill needs its months: make backfill FROM_PERIOD=2021-07 TO_PERIOD=2021-12"),
        (
            ["backfill", "--from-period", "2021-12", "--to-period", "2021-07"],
            2,
            "FROM_PERIOD 2021-12 comes after TO_PERIOD 2021-07: exchange them",
        ),
    ],
)
def test_a_slip_is_answered_in_one_line(data, words, code, complaint):
    found, lines = run(data, *words)
    told = [line for line in lines if complaint in line]
    assert (len(told), lines[-1], found) == (1, "RESULT: failed", code), "\n".join(lines)
    assert not any("Traceback" in line for line in lines)
    assert not any("starting Airflow" in line for line in lines)

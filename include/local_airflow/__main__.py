"""``python -m include.local_airflow run|ui|backfill``: one command, one Airflow, one result."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from include.airflow_settings import AirflowSettings
from include.carm.counts import tell_count
from include.carm.errors import CarmError, Unavailable, UsageError
from include.carm.period import Period
from include.local_airflow.airflow import LocalAirflow
from include.local_airflow.backfilling import prepare_months, read_months, show_preview, tell_differences
from include.local_airflow.dag_runs import RunOutcome
from include.local_airflow.data_folder import hold_data_folder, require_room
from include.local_airflow.environment import HOST, PEOPLE, choose_port
from include.local_airflow.mailbox import count_mails, local_connection, mailbox_of, serve_mailbox
from include.local_airflow.processes import AlreadyTold
from include.local_airflow.progress import Progress
from include.local_airflow.source import prepare_databases, read_last_complete_period
from include.month import count_outbox, outbox_states, summary_lines
from include.workspace import Workspace

UI_PORT = 8080
EFFECTS = ("auto", "live", "shadow")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """A signal asked this command to end. Not an ``Exception``, so that nothing takes it for a failure and goes on."""


def main(words: list[str] | None = None) -> int:
    """Do what the command line says; returns the exit code (0 done, 1 failed, 2 wrong usage, 130 stopped)."""
    options = _parser().parse_args(words)
    os.umask(0o077)  # Whatever any process writes below the data folder is for its owner alone.
    progress = Progress()
    for number in _SIGNALS:
        signal.signal(number, _raise_stopped)
    result, code = "failed", 1
    try:
        result = options.do(options, progress)
        code = 1 if result == "failed" else 0
    except CarmError as error:
        progress.complain(str(error))
        code = error.exit_code
    except AlreadyTold as error:
        code = error.exit_code
    except Stopped:
        if options.tells_result:
            progress.write("stopped; what was begun is thrown away when the same command is given again")
        else:
            progress.write("stopped; a run that was at work counts as failed, all else is kept in the data folder")
        code = 130 if options.tells_result else 0
    if options.tells_result:
        progress.write(f"RESULT: {result}")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.local_airflow", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name: str, do: Any, text: str, *, tells_result: bool = True) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(do=do, tells_result=tells_result)
        command.add_argument("--data", default="", help="data folder (default: CARM_DATA, else data)")
        command.add_argument("--from", dest="folder", default="", help="CSV files to load instead of the demo world")
        return command

    run = add("run", _run, "run one statement month through Airflow")
    run.add_argument("--period", default="", help="YYYY-MM (default: the last month complete in the source)")
    ui = add("ui", _ui, "show Airflow in the browser until Ctrl-C", tells_result=False)
    backfill = add("backfill", _backfill, "run several statement months, in order, by Airflow's own backfill")
    backfill.add_argument("--from-period", default="", help="first month, YYYY-MM")
    backfill.add_argument("--to-period", default="", help="last month, YYYY-MM")
    backfill.add_argument("--preview", default="", help="anything but nothing: only say what it would do")
    for command in (run, backfill):
        command.add_argument("--effects", default="", help="auto (default), live or shadow")
    for command in (run, ui, backfill):
        command.add_argument("--port", default="", help=f"port on {HOST} (default: 8080 for ui, else any free one)")
    add("prepare", _prepare, "make the databases ready, as the others do it first", tells_result=False)
    return parser


# --- The commands -----------------------------------------------------------------------------------------------


def _run(options: argparse.Namespace, progress: Progress) -> str:
    period, effects = str(Period.parse(options.period)) if options.period else "", _effects(options)
    with _airflow(options, progress, choose_port(options.port)) as airflow:
        airflow.start()
        _finish_preparation(airflow)
        period = period or read_last_complete_period(airflow.data)
        airflow.start_scheduler()
        outcomes = _work(airflow, period, effects)
        progress.say("stopping Airflow")
    return _tell_run(outcomes, progress, _workspace(airflow.data, airflow.settings), airflow.settings)


def _work(airflow: LocalAirflow, period: str, effects: str) -> list[RunOutcome]:
    """The month, its webinar notices and the mail, one after the other; the first that fails is the last.

    A month that came out as shadow sends nothing, not even what other months left: that is what shadow promises.
    """
    outcomes: list[RunOutcome] = []

    def run(dag_id: str, partition: str | None, conf: dict[str, str]) -> bool:
        airflow.progress.say(f"{dag_id} {partition or ''}".rstrip())
        outcomes.append(airflow.follower.follow(airflow.api.trigger(dag_id, partition, conf)))
        return outcomes[-1].state == "success"

    asked = {"effects": effects}
    is_done = run("carm_month", period, asked) and run("carm_webinar_notices", period, asked)
    if is_done and outcomes[0].results["close_month"]["effects"] == "live":
        run("carm_deliver", None, {})
    return outcomes


def _backfill(options: argparse.Namespace, progress: Progress) -> str:
    months, effects = read_months(options.from_period, options.to_period), _effects(options)
    if options.preview:
        settings = AirflowSettings.load()
        show_preview(_workspace(_data_folder(options), settings, create=False), months, effects, progress)
        return "done"
    with _airflow(options, progress, choose_port(options.port)) as airflow:
        airflow.start()
        _finish_preparation(airflow)
        workspace = _workspace(airflow.data, airflow.settings)
        prepare_months(workspace, months, effects, progress)
        # While a scheduler writes to SQLite, making a backfill fails every other time.
        backfill_id, runs = airflow.api.create_backfill("carm_month", months.first, months.last, {"effects": effects})
        airflow.start_scheduler()
        outcomes = []
        for run in runs:
            progress.say(f"carm_month {run['partition_key']}")
            outcomes.append(airflow.follower.follow(run))
        airflow.api.end_backfill(backfill_id)
        progress.say("stopping Airflow")
    result = _tell_backfill(outcomes, progress)
    tell_differences(workspace, months, progress)
    return result


def _ui(options: argparse.Namespace, progress: Progress) -> str:
    port = choose_port(options.port, UI_PORT)
    with _airflow(options, progress, port) as airflow:
        airflow.start(keep_reading_dags=True)
        _finish_preparation(airflow)
        airflow.start_scheduler()
        progress.write(f"\nAirflow is at http://{HOST}:{port} until Ctrl-C. Log in as")
        for user in PEOPLE:
            progress.write(f"  {user:9} {airflow.keys.passwords[user]}")
        while True:
            airflow.processes.check()
            time.sleep(1)


def _prepare(options: argparse.Namespace, progress: Progress) -> str:
    workspace = _workspace(_data_folder(options), AirflowSettings.load())
    prepare_databases(workspace, options.folder, progress)
    return "done"


# --- What they share --------------------------------------------------------------------------------------------


def _data_folder(options: argparse.Namespace) -> Path:
    return Path(options.data or os.environ.get("CARM_DATA") or "data").absolute()


def _workspace(data: Path, settings: AirflowSettings, *, create: bool = True) -> Workspace:
    return Workspace.open(
        data,
        create=create,
        source_url=settings.database_url("carm_source", data),
        apply_url=settings.database_url("carm_apply", data),
    )


def _effects(options: argparse.Namespace) -> str:
    effects: str = options.effects or "auto"
    if effects not in EFFECTS:
        raise UsageError(f"effects '{effects}' are unknown: write EFFECTS=auto, live or shadow")
    return effects


@contextmanager
def _airflow(options: argparse.Namespace, progress: Progress, port: int) -> Iterator[LocalAirflow]:
    """An Airflow for the data folder of ``options``, stopped afterwards however the block ends.

    Beside it the preparation of the databases has begun.
    """
    if options.folder:
        from include.load import find_files

        find_files(Path(options.folder))  # Before Airflow is started in vain.
    data = _data_folder(options)
    with hold_data_folder(data, options.command), serve_mailbox(data, AirflowSettings.load()) as settings:
        progress.say(f"starting Airflow for the data folder {data}")
        airflow = LocalAirflow(data, port, settings, progress)
        airflow.processes.stop_leftovers()
        try:
            words = ["--data", str(data), "--from", options.folder]
            airflow.processes.start_module("preparation", "include.local_airflow", "prepare", *words)
            yield airflow
        except Unavailable:
            require_room(data)  # A full disk shows in many ways; this is the one that says what to do.
            raise
        finally:
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            airflow.processes.stop()


def _finish_preparation(airflow: LocalAirflow) -> None:
    code = airflow.processes.finish("preparation")
    if code != 0:
        raise AlreadyTold(code)


def _raise_stopped(number: int, frame: FrameType | None) -> None:
    raise Stopped


def _tell_run(outcomes: list[RunOutcome], progress: Progress, ws: Workspace, settings: AirflowSettings) -> str:
    """Print how the month went; returns the result."""
    progress.write("")
    if _tell_failures(outcomes, progress):
        return "failed"
    month, webinars, *delivery = outcomes
    summary = month.results["close_month"]
    # Written after the month was closed, so its summary may not know them yet, nor what was sent.
    by_kind = webinars.results["publish_webinar_notices"]["by_kind"]
    summary["notices"] |= {kind: sum(languages.values()) for kind, languages in by_kind.items()}
    summary["outbox"] = count_outbox(ws, Period.parse(summary["period"]))
    for line in summary_lines(summary):
        progress.write(line)
    for line in _mail_lines(delivery[0].results["deliver_messages"] if delivery else None, ws):
        progress.write(line)
    mails = count_mails(ws.data) if local_connection(settings) else 0
    if mails:
        lies = f"{tell_count(mails, 'mail')} in the local mailbox {mailbox_of(ws.data)}, each a file below new/"
        progress.write(f"  {lies}")
    progress.write(f"Airflow's logs: {ws.data / 'airflow' / 'logs'}")
    _tell_held_plan(month, progress)
    return str(summary["result"])


def _mail_lines(counts: dict[str, int] | None, ws: Workspace) -> Iterator[str]:
    """What became of mail in this run, and what stands in the outbox after it, whichever month it is of."""
    if counts is None:
        yield "Mail: nothing is sent after a shadow run; what it would have sent is sealed (carm notices preview)"
    else:
        told = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in counts.items() if count)
        yield f"Mail: {told.replace('waiting', 'still planned') or 'nothing to send'}"
    standing = outbox_states(count_outbox(ws, None))
    if standing["failed"]:
        yield f"  Refused for good, of all months: {standing['failed']:,}; see carm outbox list --state failed"
    if standing["unknown"]:
        yield (
            f"  Nobody knows of {standing['unknown']:,}, of all months, whether they arrived, and a person has to find "
            "out: carm outbox list --state unknown"
        )


def _tell_backfill(outcomes: list[RunOutcome], progress: Progress) -> str:
    """Print how each month went; returns the result of all."""
    progress.write("")
    for outcome in outcomes:
        progress.write(f"{outcome.run['partition_key']}  {_result(outcome):10} {_describe_month(outcome)}".rstrip())
        _tell_held_plan(outcome, progress)
    if _tell_failures(outcomes, progress):
        return "failed"
    return "done" if any(_result(outcome) == "done" for outcome in outcomes) else "unchanged"


def _result(outcome: RunOutcome) -> str:
    return "failed" if outcome.state == "failed" else str(outcome.results["close_month"]["result"])


def _describe_month(outcome: RunOutcome) -> str:
    summary = outcome.results.get("close_month")
    if summary is None:
        return ""
    accounts = sum(row["accounts"] for row in summary["decisions"])
    statements = summary["statements"]["statements"]
    # The summary counts what is on record of the month; a shadow run has no part in it.
    applied = summary["applied_changes"] if summary["effects"] == "live" else 0
    return (
        f"{accounts:,} accounts, {statements:,} statements, effects {summary['effects']}, {applied:,} changes applied"
    )


def _tell_held_plan(outcome: RunOutcome, progress: Progress) -> None:
    plan = outcome.results.get("clean_up.plan") or {}
    if plan.get("state") == "held":
        progress.write(f"plan held: {plan['reason']}")
    if plan.get("approval") == "needed":
        progress.write(f"to decide: make ui, trigger carm_apply_plan with plan_hash {plan['plan_hash']}")


def _tell_failures(outcomes: list[RunOutcome], progress: Progress) -> bool:
    failed = [outcome for outcome in outcomes if outcome.state == "failed"]
    for outcome in failed:
        for line in outcome.failure_lines():
            progress.complain(line)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())

"""What every Dag keeps to. A red test here says what to write into the Dag file."""

import ast
from datetime import UTC, datetime
from typing import Any

import pytest

from include.airflow_settings import AirflowSettings
from include.carm.errors import DataError, Refused, Unavailable, UsageError
from tests.dags.conftest import DAGS, serialised

MONTHLY = ("carm_month", "carm_webinar_notices")
WATCHING = ("carm_deadline",)
QUARTERLY = ("carm_quarterly",)
BY_HAND = ("carm_apply_plan", "carm_approve_backfill", "carm_reinstate_account", "carm_restate", "carm_unlock_month")
HOURLY = ("carm_deliver",)
DAG_IDS = (*MONTHLY, *WATCHING, *QUARTERLY, *HOURLY, *BY_HAND)
SHARED = {"forms", "lineage", "notifiers", "portal_links", "run_context", "task_settings"}
"""The modules beside the Dag files, which hold no Dag."""
MAY_IMPORT_EARLY = (
    "__future__",
    "airflow",
    "attrs",
    "collections",
    "datetime",
    "logging",
    "os",
    "pathlib",
    "pendulum",
    "typing",
    "urllib",
    *SHARED,
)


@pytest.fixture(params=DAG_IDS)
def dag(request: pytest.FixtureRequest, dag_bag: Any) -> Any:
    return dag_bag.dags[request.param]


@pytest.fixture(params=(*MONTHLY, *WATCHING, *QUARTERLY, *HOURLY))
def scheduled_dag(request: pytest.FixtureRequest, dag_bag: Any) -> Any:
    return dag_bag.dags[request.param]


@pytest.fixture(params=MONTHLY)
def monthly_dag(request: pytest.FixtureRequest, dag_bag: Any) -> Any:
    return dag_bag.dags[request.param]


def test_every_dag_file_can_be_read_and_holds_one_dag_of_its_name(dag_bag):
    assert dag_bag.import_errors == {}
    assert sorted(dag_bag.dags) == sorted(DAG_IDS)
    assert {dag_id: (DAGS / f"{dag_id}.py").exists() for dag_id in DAG_IDS} == dict.fromkeys(DAG_IDS, True)


def test_a_dag_tells_the_person_on_call_what_to_do(dag):
    asked = {**dict.fromkeys(BY_HAND, "What to fill in."), **dict.fromkeys(HOURLY, "When.")}.get(
        dag.dag_id, "Which month."
    )
    for heading in ("What it does.", asked, "May I run it again", "What can go wrong, and what to do."):
        assert f"**{heading}" in dag.doc_md, f"write a paragraph '{heading}' into the docstring"
    assert dag.description


def test_every_task_has_an_owner_and_says_what_it_does(dag):
    for task in dag.tasks:
        assert task.owner == "carm"
        assert task.doc_md or task.python_callable.__doc__, f"write a docstring for {task.task_id}"
    assert "carm" in dag.tags
    assert len(dag.tags) > 1, "add a tag that says what the Dag is about"


def test_one_run_at_a_time(scheduled_dag):
    assert scheduled_dag.max_active_runs == 1
    assert not scheduled_dag.catchup


@pytest.mark.parametrize("error", [DataError("bad"), Refused("not now"), UsageError("no such month")])
def test_what_fails_again_is_not_tried_again(dag, error):
    for task in dag.tasks:
        assert task.retry_policy.evaluate(error, 1, 3).action.value == "fail"


@pytest.mark.parametrize("error", [Unavailable("locked"), OSError("network"), KeyError("a fault of ours")])
def test_everything_else_is_tried_again_with_growing_pauses(dag, error):
    for task in dag.tasks:
        if task.task_id != "watcher":
            assert task.retry_policy.evaluate(error, 1, 3).action.value == "default"
            assert task.retries >= 2
            assert task.retry_exponential_backoff > 1


def test_every_task_has_a_pool_that_the_settings_file_makes(dag):
    pools = AirflowSettings.load().pools
    assert {task.pool for task in dag.tasks if task.task_id != "watcher"} <= set(pools)
    assert {name: slots for name, (slots, _) in pools.items()} == {
        "carm_database": 1,
        "carm_compute": 2,
        "carm_mail": 1,
        "carm_source": 1,
        "carm_watch": 1,
    }


def test_what_reads_whole_months_of_the_source_takes_turns(dag_bag):
    of_source = [
        (dag_id, task.task_id)
        for dag_id, dag in sorted(dag_bag.dags.items())
        for task in dag.tasks
        if task.pool == "carm_source"
    ]
    assert of_source == [("carm_month", "extract.extract_feeds")]


def test_who_watches_a_month_never_waits_for_it(dag_bag):
    pools = {task.pool for task in dag_bag.dags["carm_deadline"].tasks}
    assert pools == {"carm_watch"}
    assert pools.isdisjoint(task.pool for task in dag_bag.dags["carm_month"].tasks)


def test_every_param_says_what_it_is_and_what_to_write(dag):
    for name, param in dag.params.items():
        param = dag.params.get_param(name)
        assert param.schema.get("title"), f"give the param {name} a title"
        help_text = param.description or param.schema.get("description_md")
        assert help_text, f"give the param {name} a description_md"
        assert help_text.endswith("."), f"the help of the param {name} is a sentence"


def test_every_param_refuses_what_it_cannot_be(dag):
    for name in dag.params:
        rules = dag.params.get_param(name).schema
        is_text = rules.get("type") in ("string", ["null", "string"])
        assert is_text
        assert {"pattern", "enum", "format", "maxLength"} & set(rules), f"say what the param {name} may be"


def test_a_choice_is_shown_in_words(dag):
    for name in dag.params:
        rules = dag.params.get_param(name).schema
        if "enum" in rules:
            assert list(rules["values_display"]) == rules["enum"], f"say in words what each choice of {name} does"


def test_a_task_that_fails_for_good_tells_the_person_on_call(dag, notifiers):
    told = {}
    for task in dag.tasks:
        callbacks = task.on_failure_callback
        # A mapped task has what was given, and the others a list of it.
        told[task.task_id] = [
            type(callback) for callback in (callbacks if isinstance(callbacks, list) else [callbacks])
        ]
    # What only passes a failure on, or waits for a person, has nothing of its own to tell.
    silent = {task_id for task_id in told if task_id in ("watcher", "approval")}
    assert {task_id for task_id, callbacks in told.items() if not callbacks} == silent
    assert {kind.__name__ for callbacks in told.values() for kind in callbacks} == {"TellFailure"}


@pytest.mark.parametrize("period", [None, "2021-12", "1998-01"])
@pytest.mark.parametrize("effects", ["auto", "live", "shadow"])
def test_good_params_are_taken(monthly_dag, period, effects):
    params = serialised(monthly_dag).params.deep_merge({"period": period, "effects": effects})
    assert params.validate() == {"period": period, "effects": effects}


@pytest.mark.parametrize(
    "wrong",
    [
        *({"period": period} for period in ("2021-13", "2021-00", "202112", "2021-12-25", 202112, "")),
        *({"effects": effects} for effects in ("dry", "LIVE", None)),
    ],
)
def test_wrong_params_are_refused(monthly_dag, wrong):
    with pytest.raises(ValueError, match="Invalid input for param"):
        serialised(monthly_dag).params.deep_merge(wrong).validate()


def test_params_without_a_word_mean_the_partition_and_auto(monthly_dag, dag_bag):
    assert monthly_dag.params.dump() == {"period": None, "effects": "auto"}
    assert dag_bag.dags["carm_quarterly"].params.dump() == {"quarter": None, "effects": "auto"}


@pytest.mark.parametrize("quarter", [None, "2021-Q4", "1998-Q1"])
def test_a_good_quarter_is_taken(dag_bag, quarter):
    params = serialised(dag_bag.dags["carm_quarterly"]).params.deep_merge({"quarter": quarter, "effects": "live"})
    assert params.validate() == {"quarter": quarter, "effects": "live"}


@pytest.mark.parametrize(
    "wrong",
    [
        *({"quarter": quarter} for quarter in ("2021-Q5", "2021-Q0", "2021-q4", "2021-12", "Q4 2021", 2021, "")),
        *({"effects": effects} for effects in ("dry", None)),
    ],
)
def test_a_wrong_quarter_is_refused(dag_bag, wrong):
    with pytest.raises(ValueError, match="Invalid input for param"):
        serialised(dag_bag.dags["carm_quarterly"]).params.deep_merge(wrong).validate()


HASH = "0123456789abcdef" * 4
BACKFILL = {"from_period": "2022-01", "to_period": "2022-03", "reason": "the schedule was off for a quarter"}
REINSTATEMENT = {"bn15": "123456782RM0001", "reason": "still trading", "effective_on": "2022-01-10"}


RESTATEMENT = {
    "act": "restate",
    "period": "2021-12",
    "bn15": "123456782RM0001",
    "reason_en": "the name was wrong",
    "reason_fr": "le nom était erroné",
    "acted_on": "2022-01-10",
}
UNLOCKING = {"period": "2021-12", "reason": "a statement is to be restated"}


@pytest.mark.parametrize(
    ("dag_id", "filled_in"),
    list(zip(BY_HAND, ({"plan_hash": HASH}, BACKFILL, REINSTATEMENT, RESTATEMENT, UNLOCKING), strict=True)),
)
def test_what_is_asked_for_by_hand_is_taken(dag_bag, dag_id, filled_in):
    assert serialised(dag_bag.dags[dag_id]).params.deep_merge(filled_in).validate() == filled_in


@pytest.mark.parametrize(
    ("dag_id", "wrong"),
    [
        *(("carm_apply_plan", {"plan_hash": value}) for value in (None, "", HASH[:12], HASH.upper(), HASH + "0")),
        *(
            ("carm_reinstate_account", {**REINSTATEMENT, **wrong})
            for wrong in (
                {"bn15": "123456782RT0001"},
                {"bn15": "123456782RM001"},
                {"bn15": None},
                {"reason": ""},
                {"reason": None},
                {"reason": "x" * 501},
                {"effective_on": "10 January 2022"},
                {"effective_on": "2022-02-30"},
                {"effective_on": None},
            )
        ),
        *(
            ("carm_restate", {**RESTATEMENT, **wrong})
            for wrong in (
                {"act": "delete"},
                {"act": None},
                {"period": "2021-13"},
                {"period": None},
                {"bn15": "123456782"},
                {"reason_en": "no"},
                {"reason_fr": None},
                {"acted_on": "tomorrow"},
            )
        ),
        *(
            ("carm_approve_backfill", {**BACKFILL, **wrong})
            for wrong in ({"from_period": "2022"}, {"to_period": None}, {"to_period": "2022-13"}, {"reason": "ok"})
        ),
        *(("carm_unlock_month", {**UNLOCKING, **wrong}) for wrong in ({"period": "December"}, {"reason": ""})),
    ],
)
def test_what_is_filled_in_wrongly_is_refused(dag_bag, dag_id, wrong):
    with pytest.raises(ValueError, match="Invalid input for param"):
        serialised(dag_bag.dags[dag_id]).params.deep_merge(wrong).validate()


def test_every_act_about_a_statement_can_be_asked_for(dag_bag):
    from include.statement_acts import PERFORM

    assert list(PERFORM) == serialised(dag_bag.dags["carm_restate"]).params.get_param("act").schema["enum"]


@pytest.mark.parametrize("dag_id", BY_HAND)
def test_nothing_is_filled_in_beforehand(dag_bag, dag_id):
    assert set(dag_bag.dags[dag_id].params.dump().values()) == {None}


# --- The schedule -----------------------------------------------------------------------------------------------


def test_no_run_starts_by_itself(scheduled_dag):
    assert serialised(scheduled_dag).next_dagrun_info(last_automated_run_info=None) is None


@pytest.mark.parametrize("dag_id", [*MONTHLY, *WATCHING, *QUARTERLY])
def test_with_the_schedule_on_the_next_run_is_a_month(scheduled_dag_bag, dag_id):
    run = serialised(scheduled_dag_bag.dags[dag_id]).next_dagrun_info(last_automated_run_info=None)
    assert run.partition_key == run.run_after.in_timezone("America/Toronto").format("YYYY-MM")


@pytest.mark.parametrize(("dag_id", "day"), [("carm_month", 25), ("carm_webinar_notices", 26)])
def test_a_backfill_has_one_run_a_month_at_six_in_toronto_in_summer_and_winter(dag_bag, dag_id, day):
    first, last = datetime(2021, 10, 1, tzinfo=UTC), datetime(2021, 12, 28, tzinfo=UTC)
    runs = list(serialised(dag_bag.dags[dag_id]).iter_dagrun_infos_between(first, last))
    assert [run.partition_key for run in runs] == ["2021-10", "2021-11", "2021-12"]
    times = [run.run_after.in_timezone("America/Toronto") for run in runs]
    assert [(time.day, time.hour) for time in times] == [(day, 6)] * 3
    assert [run.run_after.in_timezone("UTC").hour for run in runs] == [10, 11, 11]


def test_whether_the_month_is_issued_is_asked_when_its_day_has_passed(dag_bag):
    first, last = datetime(2021, 10, 1, tzinfo=UTC), datetime(2021, 12, 28, tzinfo=UTC)
    runs = list(serialised(dag_bag.dags["carm_deadline"]).iter_dagrun_infos_between(first, last))
    assert [run.partition_key for run in runs] == ["2021-10", "2021-11", "2021-12"]
    times = [run.run_after.in_timezone("America/Toronto").format("D HH:mm") for run in runs]
    assert times == ["26 00:05"] * 3


def test_a_quarter_has_one_run_after_its_last_month(dag_bag):
    first, last = datetime(2021, 1, 1, tzinfo=UTC), datetime(2022, 1, 1, tzinfo=UTC)
    runs = list(serialised(dag_bag.dags["carm_quarterly"]).iter_dagrun_infos_between(first, last))
    assert [run.partition_key for run in runs] == ["2021-03", "2021-06", "2021-09", "2021-12"]
    times = [run.run_after.in_timezone("America/Toronto") for run in runs]
    assert [(time.day, time.hour) for time in times] == [(27, 6)] * 4


@pytest.mark.parametrize("dag_id", BY_HAND)
def test_a_counter_action_is_never_scheduled(scheduled_dag_bag, dag_id):
    assert scheduled_dag_bag.dags[dag_id].schedule is None


# --- What a Dag file imports ------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", sorted(DAGS.glob("*.py")), ids=lambda file: file.name)
def test_a_dag_file_imports_only_airflow_and_the_domain_when_it_is_read(file):
    found = []
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
        found += [name for name in names if not name.startswith(("include.carm.", *MAY_IMPORT_EARLY))]
    assert found == [], "import the steps inside the tasks: every Dag file is read again and again"


def test_what_is_no_dag_is_not_read_as_one():
    ignored = (DAGS / ".airflowignore").read_text(encoding="utf-8").split()
    assert {file.stem for file in DAGS.glob("*.py")} - set(DAG_IDS) == SHARED
    assert {f"{name}.py" for name in SHARED} <= set(ignored)

"""The forms of the Dags: what a person fills in, with a title, help and the rule that a wrong value breaks.

Each rule is also Airflow's own check over REST: what does not fit is refused before a run is made.
"""

from __future__ import annotations

from airflow.sdk import Param

MONTH = "^[0-9]{4}-(0[1-9]|1[0-2])$"


def effects_param(live: str, shadow: str) -> Param:
    """Whether a run has effects; ``live`` and ``shadow`` say what these are."""
    return Param(
        "auto",
        type="string",
        enum=["auto", "live", "shadow"],
        values_display={
            "auto": "auto: as the run and the source call for",
            "live": f"live: {live}",
            "shadow": f"shadow: {shadow}",
        },
        title="Effects",
        description_md=f"**live** {live}. **shadow** {shadow}. **auto** is live for a scheduled run, and on the demo "
        "world when no later month was live; otherwise shadow, as is every backfill. A backfill is live only where "
        "another person approved it: *carm_approve_backfill*.",
    )


def _month_of_run() -> Param:
    return Param(
        None,
        type=["null", "string"],
        pattern=MONTH,
        title="Statement month",
        description_md="YYYY-MM, for example `2021-12`. Left empty, the partition key of the run is taken.",
    )


MONTH_PARAMS: dict[str, Param] = {
    "period": _month_of_run(),
    "effects": effects_param(
        "changes accounts, issues statements and plans messages",
        "plans and renders beside the record and changes nothing",
    ),
}

QUARTER_PARAMS: dict[str, Param] = {
    "quarter": Param(
        None,
        type=["null", "string"],
        pattern="^[0-9]{4}-Q[1-4]$",
        title="Quarter",
        description_md="YYYY-Qn, for example `2021-Q4`. Left empty, the quarter of the run's partition key is taken.",
    ),
    "effects": effects_param("plans the messages, so that they are sent", "writes all and seals the messages"),
}


def due_month_params() -> dict[str, Param]:
    """The month alone, for a Dag that only looks."""
    return {"period": _month_of_run()}


def plan_hash_param() -> Param:
    """The whole hash of a plan that is held."""
    return Param(
        None,
        type="string",
        pattern="^[0-9a-f]{64}$",
        title="Hash of the plan",
        description_md="All 64 digits of the hash of a plan that is held: `carm plan show 2021-12` prints it, the mail "
        "about the held plan has it, and in `carm_month` the result of the task `plan`.",
    )


def period_param(title: str, description: str) -> Param:
    """A month that has to be filled in."""
    return Param(None, type="string", pattern=MONTH, title=title, description_md=description)


def bn15_param() -> Param:
    """An account that has to be filled in."""
    return Param(
        None,
        type="string",
        pattern="^[0-9]{9}RM[0-9]{4}$",
        title="Account (BN15)",
        description_md="Nine digits, RM and four digits, for example `123456782RM0001`.",
    )


def reason_param(why: str, *, title: str = "Reason") -> Param:
    """A reason, 3 to 500 characters, that is kept."""
    return Param(
        None,
        type="string",
        minLength=3,
        maxLength=500,
        title=title,
        description_md=f"{why} **No names and no amounts**: it is kept, and stays in Airflow's records.",
    )


def day_param(title: str, description: str) -> Param:
    """A day that has to be filled in."""
    return Param(None, type="string", format="date", title=title, description_md=description)


def in_section(name: str, **params: Param) -> dict[str, Param]:
    """The params as one part of a long form, below a heading of its own."""
    for param in params.values():
        param.schema["section"] = name
    return params

"""The transforms of a month by frames from all raw rows, as one would who keeps no state: in Polars and in pandas."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from bench.measure import Answer, Clock
from bench.transform_answers import COUNTED, IMPORTS, PRINTED, RESULTS, answer_of, days, raw_files
from bench.transform_sql import recompute_by_duckdb
from bench.world import World
from include.feeds import ACCOUNTS, EXPORT_DECLARATIONS, TRANSACTIONS

SAMPLED_ACCOUNTS = 1_000_000
"""From so many accounts on pandas gets a tenth of them: the frames of all would not lie in a small machine's memory."""


def polars(world: World, clock: Clock) -> Answer:
    """Lazy frames over all raw rows, run by the streaming engine."""
    import polars as pl

    folder = world.scratch("polars")
    files = {name: folder / f"{name}.parquet" for name in RESULTS}
    day = days()
    with clock:
        counted = pl.scan_parquet(world.all_rows(TRANSACTIONS)).filter(
            pl.col("status").is_in(COUNTED), pl.col("posted_on") <= day["as_of"]
        )
        is_own, is_earlier = pl.col("posted_on") >= day["period_start"], pl.col("posted_on") < day["period_start"]
        posted = counted.group_by("bn15").agg(
            pl.col("activity_on").filter(pl.col("kind").is_in(IMPORTS)).max().alias("last_import_on"),
            pl.col("activity_on").filter(pl.col("kind") == "K32").max().alias("last_other_on"),
            pl.col("amount_cents").sum().alias("closing_cents"),
            pl.col("amount_cents").filter(is_earlier).sum().alias("opening_cents"),
            (pl.col("status") == "under_review").sum().alias("under_review_items"),
            is_own.sum().alias("line_count"),
        )
        exported = (
            pl.scan_parquet(world.all_rows(EXPORT_DECLARATIONS))
            .filter(pl.col("status") == "accepted", pl.col("reported_on") <= day["as_of"])
            .group_by("bn15")
            .agg(pl.col("exported_on").max().alias("last_export_on"))
        )
        is_valid = pl.col("valid_to").is_null() | (pl.col("valid_to") > day["as_of"])
        totals = (
            pl.scan_parquet(world.rows(ACCOUNTS))
            .filter(pl.col("valid_from") <= day["as_of"], is_valid)
            .join(posted, on="bn15", how="left")
            .join(exported, on="bn15", how="left")
            .with_columns(
                pl.col("opening_cents", "closing_cents", "under_review_items", "line_count").fill_null(0),
            )
            .collect(engine="streaming")
        )
        decide_by_polars(totals, day).write_parquet(files["decisions"])
        is_stated = (pl.col("line_count") > 0) | (pl.col("opening_cents") != 0) | (pl.col("closing_cents") != 0)
        is_closed = pl.col("closed_on").is_between(day["period_start"], day["as_of"]).fill_null(value=False)
        balances = totals.filter(is_stated | is_closed).sort("bn15")
        balances.select("bn15", "opening_cents", "closing_cents", "line_count").write_parquet(files["balances"])
        kind, status = pl.col("kind"), pl.col("status")
        section = (
            pl.when(status == "under_review")
            .then(4)
            .when(kind.is_in(("PMT", "NSF", "NPA", "K32")) | (pl.col("amount_cents") < 0))
            .then(5)
            .when(kind.is_in(("OFS", "DSB")))
            .then(6)
            .when(kind == "INT")
            .then(7)
            .when(kind.is_in(("LAP", "AMPS")))
            .then(8)
            .when(pl.col("due_on").is_null() | (pl.col("due_on") == day["due_on"]))
            .then(1)
            .otherwise(2)
        )
        lines = (
            counted.filter(is_own)
            .select(*PRINTED, section.alias("section_no"))
            .join(totals.lazy().select("bn15", "opening_cents"), on="bn15")
            .sort("bn15", "section_no", "posted_on", "transaction_id", "revision")
            .with_columns(
                (pl.int_range(pl.len()).over("bn15") + 1).alias("line_no"),
                (pl.col("opening_cents") + pl.col("amount_cents").cum_sum().over("bn15")).alias(
                    "running_balance_cents"
                ),
            )
            .collect(engine="streaming")
        )
        lines.write_parquet(files["lines"])
    return answer_of(files)


def decide_by_polars(totals: Any, day: Mapping[str, Any]) -> Any:
    """The decision about each open account of a frame of totals."""
    import polars as pl

    def after(name: str) -> Any:
        return (pl.col(name) >= day["cutoff"]).fill_null(value=False)

    has_import, has_export = pl.col("has_import"), pl.col("has_export")
    clock = pl.max_horizontal("last_import_on", "last_export_on", "last_other_on", "opened_on", "reinstated_on")
    kind = pl.col("program_type")

    def cell(both: Any, imports: Any, exports: Any, unknown: str, other: str, young: str, none: str) -> Any:
        return (
            pl.when(has_import & has_export)
            .then(both)
            .when(has_import)
            .then(imports)
            .when(has_export)
            .then(exports)
            .when(clock.is_null())
            .then(pl.lit(unknown))
            .when(after("last_other_on"))
            .then(pl.lit(other))
            .when(clock >= day["cutoff"])
            .then(pl.lit(young))
            .otherwise(pl.lit(none))
        )

    def choose(program_type: str, yes: str, no: str) -> Any:
        return pl.when(kind == program_type).then(pl.lit(yes)).otherwise(pl.lit(no))

    proposed = (
        totals.filter(pl.col("status") == "open")
        .with_columns(after("last_import_on").alias("has_import"), after("last_export_on").alias("has_export"))
        .with_columns(
            cell(
                choose("dual", "keep", "review"),
                choose("importer", "keep", "convert"),
                choose("exporter", "keep", "convert"),
                *("review", "keep", "keep", "close"),
            ).alias("proposed_action"),
            cell(
                choose("dual", "active", "mixed_activity"),
                choose("importer", "active", "only_import_activity"),
                choose("exporter", "active", "only_export_activity"),
                *("unknown_open_date", "active", "younger_than_4_years", "no_activity_4_years"),
            ).alias("proposed_reason"),
        )
    )
    action = pl.col("proposed_action")
    is_held = pl.col("hold_reason").is_not_null() & (pl.col("hold_until") >= day["as_of"]).fill_null(value=True)
    held_by = (
        pl.when(~action.is_in(("close", "convert")))
        .then(None)
        .when(is_held)
        .then(pl.lit("on_hold"))
        .when((action == "convert") & has_import)
        .then(None)
        .when(pl.col("under_review_items") > 0)
        .then(pl.lit("under_review"))
        .when(pl.col("closing_cents") != 0)
        .then(pl.lit("balance_not_zero"))
    )
    return (
        proposed.with_columns(held_by.alias("held_by"))
        .select(
            "bn15",
            pl.when(pl.col("held_by").is_null()).then(action).otherwise(pl.lit("hold")).alias("action"),
            pl.coalesce("held_by", "proposed_reason").alias("reason"),
        )
        .sort("bn15")
    )


def pandas(world: World, clock: Clock) -> Answer:
    """Frames of the needed columns of all raw rows; of a nation's, a tenth of the accounts.

    Where it works on a sample, its answer is held against that of DuckDB for the same sample, and is none of all.
    """
    folder = world.scratch("pandas")
    files = raw_files(world)
    is_sample = world.profile.accounts >= SAMPLED_ACCOUNTS
    if is_sample:
        clock.extrapolate(10, "a tenth of the accounts")
        files = {feed: [_tenth(path, folder / feed) for path in paths] for feed, paths in files.items()}
    answer = answer_of(recompute_by_pandas(files, folder, clock))
    if not is_sample:
        return answer
    expected = answer_of(recompute_by_duckdb(files, world.scratch("sample"), Clock()))
    if expected != answer:
        raise AssertionError(f"pandas comes to {answer} of the sample, and DuckDB to {expected}")
    return None


def _tenth(path: Path, folder: Path) -> Path:
    """The rows of every tenth account, as a file of the same kind."""
    folder.mkdir(exist_ok=True)
    with duckdb.connect() as con:
        sample = con.read_parquet(str(path)).filter("bn15[8:8] = '3'")
        sample.write_parquet(str(folder / path.name), compression="zstd")
    return folder / path.name


def recompute_by_pandas(files: Mapping[str, list[Path]], folder: Path, clock: Clock) -> dict[str, Path]:
    """Write the results of ``files`` as Parquet into ``folder``."""
    import numpy as np
    import pandas as pd

    found = {name: folder / f"{name}.parquet" for name in RESULTS}
    day = {name: pd.Timestamp(value) for name, value in days().items()}
    with clock:
        columns = ["bn15", "kind", "status", "activity_on", "posted_on", "amount_cents"]
        rows = _read_frames(files["transactions"], columns, dates=("activity_on", "posted_on"))
        rows = rows[rows["status"].isin(COUNTED) & (rows["posted_on"] <= day["as_of"])]
        is_earlier = rows["posted_on"] < day["period_start"]
        by_account = rows.groupby("bn15", observed=True)
        own = rows[~is_earlier]
        totals = pd.DataFrame(
            {
                "closing_cents": by_account["amount_cents"].sum(),
                "opening_cents": rows[is_earlier].groupby("bn15", observed=True)["amount_cents"].sum(),
                "line_count": own.groupby("bn15", observed=True).size(),
                "under_review_items": rows[rows["status"] == "under_review"].groupby("bn15", observed=True).size(),
                "last_import_on": _last_day(rows, rows["kind"].isin(IMPORTS), "activity_on"),
                "last_other_on": _last_day(rows, rows["kind"] == "K32", "activity_on"),
            }
        )
        del rows, own
        columns = ["bn15", "status", "exported_on", "reported_on"]
        exports = _read_frames(files["export_declarations"], columns, dates=("exported_on", "reported_on"))
        is_seen = (exports["status"] == "accepted") & (exports["reported_on"] <= day["as_of"])
        totals = totals.join(_last_day(exports, is_seen, "exported_on").rename("last_export_on"), how="outer")
        accounts = pd.read_parquet(files["accounts"][0])
        for name in ("valid_from", "valid_to", "opened_on", "closed_on", "reinstated_on", "hold_until"):
            accounts[name] = pd.to_datetime(accounts[name])
        is_valid = (accounts["valid_from"] <= day["as_of"]) & ~(accounts["valid_to"] <= day["as_of"])
        totals.index = totals.index.astype(object)
        totals = accounts[is_valid].join(totals, on="bn15")
        counts = ["closing_cents", "opening_cents", "line_count", "under_review_items"]
        totals[counts] = totals[counts].fillna(0).astype("int64")
        totals = totals.sort_values("bn15")

        is_import, is_export, is_other = (
            totals[f"last_{name}_on"] >= day["cutoff"] for name in ("import", "export", "other")
        )
        dates = ["last_import_on", "last_export_on", "last_other_on", "opened_on", "reinstated_on"]
        clock_on = totals[dates].max(axis=1)
        kind = totals["program_type"]
        is_young = clock_on >= day["cutoff"]
        conditions = [is_import & is_export, is_import, is_export, clock_on.isna(), is_other, is_young]
        action = np.select(
            conditions,
            [
                np.where(kind == "dual", "keep", "review"),
                np.where(kind == "importer", "keep", "convert"),
                np.where(kind == "exporter", "keep", "convert"),
                *("review", "keep", "keep"),
            ],
            "close",
        )
        reason = np.select(
            conditions,
            [
                np.where(kind == "dual", "active", "mixed_activity"),
                np.where(kind == "importer", "active", "only_import_activity"),
                np.where(kind == "exporter", "active", "only_export_activity"),
                *("unknown_open_date", "active", "younger_than_4_years"),
            ],
            "no_activity_4_years",
        )
        is_held = totals["hold_reason"].notna() & ~(totals["hold_until"] < day["as_of"])
        held_by = np.select(
            [
                ~np.isin(action, ("close", "convert")),
                is_held,
                (action == "convert") & is_import,
                totals["under_review_items"] > 0,
                totals["closing_cents"] != 0,
            ],
            ["", "on_hold", "", "under_review", "balance_not_zero"],
            "",
        )
        decisions = pd.DataFrame(
            {
                "bn15": totals["bn15"],
                "action": np.where(held_by == "", action, "hold"),
                "reason": np.where(held_by == "", reason, held_by),
            }
        )
        decisions[totals["status"] == "open"].to_parquet(found["decisions"], index=False)
        is_stated = (totals[["line_count", "opening_cents", "closing_cents"]] != 0).any(axis=1)
        is_stated |= totals["closed_on"].between(day["period_start"], day["as_of"])
        balances = totals.loc[is_stated, ["bn15", "opening_cents", "closing_cents", "line_count"]]
        balances.to_parquet(found["balances"], index=False)

        lines = _read_frames(files["transactions"][-1:], list(PRINTED), dates=("activity_on", "posted_on", "due_on"))
        lines = lines[lines["status"].isin(COUNTED) & lines["posted_on"].between(day["period_start"], day["as_of"])]
        kind = lines["kind"]
        lines["section_no"] = np.select(
            [
                lines["status"] == "under_review",
                kind.isin(("PMT", "NSF", "NPA", "K32")) | (lines["amount_cents"] < 0),
                kind.isin(("OFS", "DSB")),
                kind == "INT",
                kind.isin(("LAP", "AMPS")),
                lines["due_on"].isna() | (lines["due_on"] == day["due_on"]),
            ],
            [4, 5, 6, 7, 8, 1],
            2,
        )
        lines = lines.merge(totals[["bn15", "opening_cents"]], on="bn15")
        lines = lines.sort_values(["bn15", "section_no", "posted_on", "transaction_id", "revision"])
        of_account = lines.groupby("bn15", sort=False)
        lines["line_no"] = of_account.cumcount() + 1
        lines["running_balance_cents"] = lines["opening_cents"] + of_account["amount_cents"].cumsum()
        lines.to_parquet(found["lines"], index=False)
    return found


def _read_frames(paths: list[Path], columns: list[str], dates: tuple[str, ...]) -> Any:
    """The columns of all files as one frame, days as timestamps."""
    import pandas as pd

    frame = pd.concat([pd.read_parquet(path, columns=columns) for path in paths], ignore_index=True)
    for name in dates:
        frame[name] = pd.to_datetime(frame[name])
    return frame


def _last_day(rows: Any, mask: Any, name: str) -> Any:
    return rows[mask].groupby("bn15")[name].max()

"""The drawings of docs/architecture.md are those of the code; `make golden` draws them anew."""

from __future__ import annotations

import os

from tests.docs.architecture_page import (
    PAGE,
    dataset_edges,
    modules_without_room,
    render,
    sources_of,
    without_detours,
)


def test_the_page_is_drawn_from_the_code(dag_bag):
    drawn = render(PAGE.read_text(encoding="utf-8"), dag_bag.dags)
    if os.environ.get("CARM_REWRITE_GOLDEN"):
        PAGE.write_text(drawn, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == drawn, "is not current: make golden"


def test_the_drawing_of_a_month_shows_what_follows_what(dag_bag):
    drawn = render("<!-- from the code: tasks of a month -->\n<!-- end -->\n", dag_bag.dags)
    for edge in (
        "open_month --> extract__extract_feeds",
        "extract__extract_feeds --> validate__validate_and_seal",
        "clean_up__plan --> clean_up__apply_plan",
        "notices__publish_notices --> close_month",
    ):
        assert f"    {edge}\n" in drawn
    assert "open_month --> close_month" not in drawn
    assert "watcher" not in drawn


def test_every_module_has_a_room():
    assert [] == modules_without_room(), "name its room in tests/docs/rooms.py, then make golden"


def test_a_longer_way_takes_the_place_of_a_shorter_one():
    assert without_detours({("a", "b"), ("b", "c"), ("a", "c"), ("a", "d")}) == {("a", "b"), ("b", "c"), ("a", "d")}


def test_a_circle_loses_no_arrow():
    assert without_detours({("a", "b"), ("b", "a"), ("b", "c")}) == {("a", "b"), ("b", "a"), ("b", "c")}


def test_what_a_dataset_is_made_of_is_read_from_the_headers():
    assert sources_of("account_decisions")[0] == {"account_facts", "clean_up_records"}
    # Through the relations `items` and `carried_items`, which only live inside their step.
    now, before = sources_of("open_items")
    assert {"transactions", "allocations"} <= now
    assert "open_items" in before
    assert sources_of("transactions") == ({"source"}, {"quarantine", "quarantine_released", "transactions"})


def test_no_dataset_is_made_of_itself_within_a_month():
    edges = dataset_edges()
    ordered: set[str] = {"source"}
    waiting = {end for _, end in edges}
    while ready := {name for name in waiting if {start for start, end in edges if end == name} & waiting == set()}:
        ordered |= ready
        waiting -= ready
    assert waiting == set()
    assert {"transactions", "statements", "account_decisions"} <= ordered

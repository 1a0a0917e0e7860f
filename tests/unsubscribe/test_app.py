"""The unsubscribe page as a browser, a mail program and a stranger meet it, without a server in between."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.engine import Engine

from include import unsubscribe_app
from include.database import connect_engine
from include.operations_notice_tables import SUBSCRIPTION_EVENTS, SUPPRESSIONS
from include.unsubscribe import make_token
from include.unsubscribe_app import create_app
from tests.html_checker import complaints
from tests.unsubscribe.outbox import ADDRESS, HASH_KEY, READER, create_tables, everything, key_of, message, post, rows

DAY = date(2022, 1, 10)
TOKEN = make_token(READER, HASH_KEY)
ONE_CLICK = {"List-Unsubscribe": "One-Click"}
BUTTON = {"answer": "unsubscribe"}

Ask = Callable[..., httpx.Response]


def ask_of(engine: Engine) -> Ask:
    """Sends one request to the app over ``engine``."""
    app = create_app(engine, HASH_KEY, lambda: DAY)

    def ask(method: str, path: str = f"/u/{TOKEN}", **content: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://page.example") as client:
                return await client.request(method, path, **content)

        return asyncio.run(send())

    return ask


@pytest.fixture
def ask(tables: Engine) -> Ask:
    return ask_of(tables)


# --- What acts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "source"),
    [
        ({"data": ONE_CLICK}, "one_click"),
        # RFC 8058 would rather have this form.
        ({"files": {"List-Unsubscribe": (None, "One-Click")}}, "one_click"),
        ({"data": BUTTON}, "page"),
        ({"content": b"List-Unsubscribe=One-Click"}, "one_click"),
        ({"content": b"List-Unsubscribe=One-Click\r\n"}, "one_click"),
    ],
)
def test_a_post_unsubscribes_and_stops_what_is_planned(
    ask: Ask, tables: Engine, content: dict[str, Any], source: str
) -> None:
    post(tables, message())
    answer = ask("POST", **content)
    assert answer.status_code == 200
    assert "You are unsubscribed" in answer.text
    (event,) = rows(tables, SUBSCRIPTION_EVENTS)
    told = (event["recipient_key"], event["event"], event["recorded_on"], event["source"], event["address"])
    assert told == (READER, "unsubscribed", DAY, source, None)
    assert [row["state"] for row in everything(tables)[2]] == ["suppressed"]
    after = everything(tables)
    assert ask("POST", **content).content == answer.content
    assert everything(tables) == after


def test_it_works_on_postgresql(postgresql_url: str) -> None:
    engine = create_tables(connect_engine(postgresql_url))
    post(engine, message())
    assert ask_of(engine)("POST", data=ONE_CLICK).status_code == 200
    assert [row["scope"] for row in rows(engine, SUPPRESSIONS)] == ["list"]
    assert [row["state"] for row in everything(engine)[2]] == ["suppressed"]


def test_who_is_known_and_who_is_not_get_the_same_answer(ask: Ask, tables: Engine) -> None:
    post(tables, message())
    stranger = f"/u/{make_token(key_of('stranger@example.org'), HASH_KEY)}"
    for method, content in (("GET", {}), ("POST", {"data": ONE_CLICK})):
        known, unknown = ask(method, **content), ask(method, stranger, **content)
        assert (known.status_code, known.content, known.headers) == (200, unknown.content, unknown.headers)


# --- What does not ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "status"),
    [("GET", 200), ("HEAD", 200), ("OPTIONS", 405), ("PUT", 405), ("DELETE", 405), ("PATCH", 405), ("TRACE", 405)],
)
@pytest.mark.parametrize("content", [{}, {"data": ONE_CLICK}, {"params": ONE_CLICK}])
def test_nothing_but_a_post_changes_anything(
    ask: Ask, tables: Engine, method: str, status: int, content: dict[str, Any]
) -> None:
    post(tables, message())
    before = everything(tables)
    answer = ask(method, **content)
    assert answer.status_code == status
    assert answer.headers.get("allow") == ("GET, HEAD, POST" if status == 405 else None)
    assert everything(tables) == before


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"data": {"List-Unsubscribe": "Two-Clicks"}},
        {"data": {"list-unsubscribe": "One-Click"}},
        {"params": ONE_CLICK},
        {"json": ONE_CLICK},
        {"content": b"\xff\xfe"},
        {"content": "&".join(f"a{n}=1" for n in range(50)) + "&List-Unsubscribe=One-Click"},
        {"files": {"answer": (None, "keep")}},
        {"content": b"no part", "headers": {"content-type": "multipart/form-data"}},
        {"content": b"--x\r\n\r\nOne-Click", "headers": {"content-type": "multipart/form-data; boundary=x"}},
        {"content": b"", "headers": {"content-type": "multipart/form-data; boundary="}},
        # A part that is made of parts, with the answer in one of them.
        {
            "content": b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n'
            b"Content-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\n\r\nOne-Click\r\n--y--\r\n\r\n--x--\r\n",
            "headers": {"content-type": "multipart/form-data; boundary=x"},
        },
    ],
)
def test_a_post_that_asks_for_nothing_changes_nothing(ask: Ask, tables: Engine, content: dict[str, Any]) -> None:
    before = everything(tables)
    answer = ask("POST", **content)
    assert answer.status_code == 400
    assert "Nothing was changed" in answer.text
    assert everything(tables) == before


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/u/",
        "/u/x",
        f"/u/{TOKEN}=",
        f"/u/{TOKEN}/",
        f"/u/{TOKEN}%0A",
        f"/u/{TOKEN[:-1]}",
        f"//u/{TOKEN}",
        f"/u/{make_token(READER, b'another key of these tests')}",
        "/u/" + "A" * 5_000,
        "/favicon.ico",
    ],
)
def test_what_is_no_token_of_ours_is_not_found(ask: Ask, tables: Engine, method: str, path: str) -> None:
    answer = ask(method, path, **({"data": ONE_CLICK} if method == "POST" else {}))
    assert answer.status_code == 404
    assert ("This page does not exist" in answer.text) == (method != "HEAD")
    assert "location" not in answer.headers
    assert rows(tables, SUBSCRIPTION_EVENTS) == []


@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_body_that_is_too_large_is_refused(ask: Ask, tables: Engine, is_streamed: bool) -> None:
    body = b"List-Unsubscribe=One-Click&x=" + b"x" * unsubscribe_app.MOST_BODY_BYTES

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 100):
            yield body[start : start + 100]

    answer = ask("POST", content=pieces() if is_streamed else body)
    assert answer.status_code == 413
    assert rows(tables, SUBSCRIPTION_EVENTS) == []
    most = body[: unsubscribe_app.MOST_BODY_BYTES]
    assert ask("POST", content=most).status_code == 200


def test_a_body_that_does_not_come_is_not_waited_for(ask: Ask, tables: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unsubscribe_app, "SECONDS_FOR_BODY", 0.01)

    async def never() -> AsyncIterator[bytes]:
        yield b"List-Unsubscribe=One-Click"
        await asyncio.Event().wait()

    assert ask("POST", content=never()).status_code == 408
    assert rows(tables, SUBSCRIPTION_EVENTS) == []


# --- What goes wrong --------------------------------------------------------------------------------------------


def said_by_us(caplog: pytest.LogCaptureFixture) -> str:
    """The lines of the log, without those of the client that asks."""
    return "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("include."))


@pytest.mark.parametrize("trouble", ["no file", "no tables", "locked"])
def test_without_its_database_the_page_says_to_come_again(
    trouble: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "source.db"
    engine = connect_engine(f"sqlite:///{file}", create=trouble != "no file", wait_seconds=0.01)
    if trouble == "locked":
        create_tables(engine)
        blocker = sqlite3.connect(file, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
    ask = ask_of(engine)
    assert ask("GET").status_code == 200
    answer = ask("POST", data=ONE_CLICK)
    if trouble == "locked":
        blocker.close()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "300")
    assert "Please try again later" in answer.text
    assert str(tmp_path) not in answer.text
    assert str(file) in said_by_us(caplog)
    assert not {secret for secret in (TOKEN, READER) if secret in said_by_us(caplog)}


def test_a_fault_of_ours_is_no_detail_of_the_page_either(tables: Engine) -> None:
    with tables.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER fault BEFORE INSERT ON carm_suppressions BEGIN SELECT RAISE(FAIL, 'a fault'); END"
        )
    answer = ask_of(tables)("POST", data=ONE_CLICK)
    assert answer.status_code == 500
    assert "Please try again later" in answer.text
    assert "fault" not in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert rows(tables, SUBSCRIPTION_EVENTS) == []


def test_a_postgresql_that_is_not_there_is_no_detail_of_the_page(caplog: pytest.LogCaptureFixture) -> None:
    engine = connect_engine("postgresql://somebody:secret@127.0.0.1:1/customs")
    answer = ask_of(engine)("POST", data=ONE_CLICK)
    assert answer.status_code == 503
    assert not {word for word in ("secret", "customs", "127.0.0.1") if word in answer.text}
    assert "PostgreSQL database customs on 127.0.0.1 cannot be reached" in said_by_us(caplog)
    assert not {secret for secret in ("secret", TOKEN, READER) if secret in said_by_us(caplog)}


# --- The page ---------------------------------------------------------------------------------------------------

ANSWERS = [
    ("GET", f"/u/{TOKEN}", {}),
    ("POST", f"/u/{TOKEN}", {"data": ONE_CLICK}),
    ("POST", f"/u/{TOKEN}", {}),
    ("PUT", f"/u/{TOKEN}", {}),
    ("GET", "/nothing", {}),
    ("POST", f"/u/{TOKEN}", {"content": b"x" * 10_000}),
]


@pytest.mark.parametrize(("method", "path", "content"), ANSWERS)
def test_every_answer_is_locked_up(ask: Ask, method: str, path: str, content: dict[str, Any]) -> None:
    answer = ask(method, path, **content)
    headers = answer.headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["x-robots-tag"] == "noindex, nofollow"
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert "set-cookie" not in headers


@pytest.mark.parametrize(("method", "path", "content"), ANSWERS)
def test_every_page_says_it_in_both_languages_and_loads_nothing(
    ask: Ask, method: str, path: str, content: dict[str, Any]
) -> None:
    page = ask(method, path, **content).text
    assert re.findall(r'<article lang="(..)">', page) == ["en", "fr"]
    assert len(re.findall(r"<h1>", page)) == 2
    assert not re.findall(r"<script|<img|<link|<iframe|\bsrc=|\bstyle=|\bon\w+=|url\(|@import", page)
    assert set(re.findall(r'href="(\w+):', page)) <= {"mailto"}
    assert not {secret for secret in (TOKEN, READER, ADDRESS) if secret in page}


def test_the_question_has_one_button_that_posts_to_where_the_page_is(ask: Ask, tables: Engine) -> None:
    """Behind a proxy the path has more in front, which only the browser knows: so the form names no path."""
    page = ask("GET").text
    assert re.findall(r"<form[^>]*>", page) == ['<form method="post">']
    (button,) = re.findall(r"<button[^>]*>", page)
    field = dict(re.findall(r'(name|value)="(\w+)"', button))
    assert ask("POST", data={field["name"]: field["value"]}).status_code == 200
    assert [event["source"] for event in rows(tables, SUBSCRIPTION_EVENTS)] == ["page"]


def test_nothing_is_said_against_the_pages(ask: Ask, tmp_path: Path) -> None:
    for number, (method, path, content) in enumerate(ANSWERS):
        (tmp_path / f"{number}.html").write_bytes(ask(method, path, **content).content)
    assert complaints(sorted(tmp_path.glob("*.html"))) == {}


def test_the_day_is_asked_for_at_each_request(tables: Engine) -> None:
    days = iter([date(2022, 1, 31), date(2022, 2, 1)])
    app = create_app(tables, HASH_KEY, lambda: next(days))

    async def send() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://page.example") as client:
            for _ in range(2):
                await client.post(f"/u/{TOKEN}", data=ONE_CLICK)

    asyncio.run(send())
    assert [row["since"] for row in rows(tables, SUPPRESSIONS)] == [date(2022, 2, 1)]

"""The audit chain: what is appended follows what is there, and no past link can be changed unnoticed."""

from __future__ import annotations

import hashlib
import multiprocessing
from datetime import date

import pytest
from sqlalchemy import delete, insert, select, update
from sqlalchemy.engine import Engine

from include.audit import append_link, chain_head, digest_rows, find_broken_link, read_links
from include.database import connect_engine, write_transaction
from include.operations import migrate
from include.operations_plan_tables import AUDIT_CHAIN, HOLDS

PROCESSES = multiprocessing.get_context("spawn")


@pytest.fixture
def chained(database_url: str) -> Engine:
    """A database with a chain of four links."""
    migrate(database_url)
    engine = connect_engine(database_url)
    for number in range(4):
        with write_transaction(engine) as connection:
            append_link(connection, "plan", f"plan-{number}", {"changes": number, "reason": "un été"})
    return engine


def broken(engine: Engine) -> str | None:
    with engine.connect() as connection:
        found = find_broken_link(connection)
    return found and f"{found[0].link_no}: {found[1]}"


def test_links_follow_one_another(chained):
    with chained.connect() as connection:
        links = list(read_links(connection))
        assert chain_head(connection) == links[-1].sha256
    assert [link.link_no for link in links] == [1, 2, 3, 4]
    assert [link.previous_sha256 for link in links[1:]] == [link.sha256 for link in links[:-1]]
    assert broken(chained) is None


def test_an_empty_chain_has_no_head_and_is_sound(database_url):
    migrate(database_url)
    with connect_engine(database_url).connect() as connection:
        assert chain_head(connection) is None
        assert find_broken_link(connection) is None


@pytest.mark.parametrize("column", ["event", "subject", "facts", "previous_sha256", "sha256"])
def test_a_changed_link_is_named(chained, column):
    with write_transaction(chained) as connection:
        connection.execute(update(AUDIT_CHAIN).where(AUDIT_CHAIN.c.link_no == 2).values({column: "other"}))
    assert broken(chained).startswith("2: ")


def test_a_link_that_was_hashed_anew_after_its_change_breaks_the_next(chained):
    with write_transaction(chained) as connection:
        second = list(read_links(connection))[1]
        forged = {"facts": "{}"}
        row = {**second.__dict__, **forged}
        sha256 = type(second)(**row).expected_sha256()
        connection.execute(update(AUDIT_CHAIN).where(AUDIT_CHAIN.c.link_no == 2).values(**forged, sha256=sha256))
    assert broken(chained) == "3: it does not follow the link before it"


def test_a_missing_link_is_named(chained):
    with write_transaction(chained) as connection:
        connection.execute(delete(AUDIT_CHAIN).where(AUDIT_CHAIN.c.link_no == 3))
    assert broken(chained) == "4: link 3 before it is missing"


def test_two_writers_at_once_make_one_chain(chained):
    url = chained.url.render_as_string(hide_password=False)
    writers = [PROCESSES.Process(target=append_many, args=(url, number), daemon=True) for number in (1, 2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert broken(chained) is None
    with chained.connect() as connection:
        assert len(list(read_links(connection))) == 4 + 2 * 20


def append_many(url: str, writer: int) -> None:
    engine = connect_engine(url)
    for number in range(20):
        with write_transaction(engine) as connection:
            append_link(connection, "hold", f"{writer}-{number}", {})


HOLD = {
    "hold_no": 1,
    "bn15": "000000018RM0001",
    "account_key": 180001,
    "reason": "appel à régler",
    "hold_until": date(2022, 3, 31),
    "known_from": "2022-01",
    "lifted_from": None,
    "recorded_by": "clerk",
}


def digest_of(engine: Engine) -> str:
    with engine.connect() as connection:
        return digest_rows(connection, select(HOLDS).order_by(HOLDS.c.hold_no))


def test_the_digest_of_rows_is_the_same_on_every_database_and_covers_every_column(chained):
    with write_transaction(chained) as connection:
        connection.execute(insert(HOLDS), [HOLD, {**HOLD, "hold_no": 2, "hold_until": None}])
    whole = digest_of(chained)
    lines = (
        '["hold_no","bn15","account_key","reason","hold_until","known_from","lifted_from","recorded_by"]\n'
        '[1,"000000018RM0001",180001,"appel à régler","2022-03-31","2022-01",null,"clerk"]\n'
        '[2,"000000018RM0001",180001,"appel à régler",null,"2022-01",null,"clerk"]\n'
    )
    assert whole == hashlib.sha256(lines.encode()).hexdigest()
    for column, value in {**HOLD, "hold_until": date(2022, 4, 1), "lifted_from": "2022-02"}.items():
        other = value if value != HOLD[column] else (value + 7 if isinstance(value, int) else f"{value} ")
        with write_transaction(chained) as connection:
            connection.execute(update(HOLDS).where(HOLDS.c.hold_no == 1).values({column: other}))
        assert digest_of(chained) != whole
        with write_transaction(chained) as connection:
            connection.execute(update(HOLDS).where(HOLDS.c.hold_no != 2).values(HOLD))
        assert digest_of(chained) == whole

"""Ways for the tests: functions of a module, because each is run in a process of its own."""

import time

from bench.measure import Clock
from bench.world import World


def two(world: World, clock: Clock) -> dict[str, int]:
    """Comes to two."""
    with clock:
        pass
    return {"found": 2}


def three(world: World, clock: Clock) -> dict[str, int]:
    """Comes to three."""
    with clock:
        pass
    return {"found": 3}


def nothing_to_compare(world: World, clock: Clock) -> None:
    """Makes something that nobody else makes."""
    with clock:
        pass


def large(world: World, clock: Clock) -> None:
    """Fills two hundred megabytes."""
    with clock:
        held = bytearray(b"x") * 200_000_000
    assert held


def large_around(world: World, clock: Clock) -> None:
    """Fills two hundred megabytes before its clock runs, and again for a while after."""
    before = bytearray(b"x") * 200_000_000
    del before
    with clock:
        time.sleep(0.3)
    after = bytearray(b"x") * 200_000_000
    time.sleep(0.3)
    assert after


def without_a_clock(world: World, clock: Clock) -> None:
    """Measures by itself."""
    clock.seconds = 2.0


def a_tenth(world: World, clock: Clock) -> None:
    """Does a tenth of the work."""
    with clock:
        sum(range(100_000))
    clock.extrapolate(10, "a tenth of the accounts")
    clock.seconds = 0.5


def broken(world: World, clock: Clock) -> None:
    """Ends before its answer."""
    raise SystemExit(3)

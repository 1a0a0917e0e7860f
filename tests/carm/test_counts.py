import pytest

from include.carm.counts import inflect, tell_count


@pytest.mark.parametrize(
    ("count", "told"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (21, "21 rows"), (1001, "1,001 rows")]
)
def test_one_alone_is_singular(count, told):
    assert tell_count(count, "row") == told
    assert inflect(count, "row") == told.split()[1]

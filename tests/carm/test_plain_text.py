import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.carm.errors import UsageError
from include.carm.plain_text import require_plain_line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (" an  appeal\t of\r\nthe client\n", "an appeal of the client"),
        ("dossier n° 12 – « réglé »", "dossier n° 12 – « réglé »"),
        ("\n", ""),
    ],
)
def test_white_space_is_collapsed_and_the_rest_stays(text, line):
    assert require_plain_line(text, "the reason") == line


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("\x1b[2J", "U+001B"),
        ("a\x00b", "U+0000"),
        ("a\x7fb", "U+007F"),
        ("a\N{RIGHT-TO-LEFT OVERRIDE}b", "U+202E"),
        ("a\N{ZERO WIDTH SPACE}b", "U+200B"),
        ("a\ud800b", "U+D800"),
        ("a\ue000b", "U+E000"),
        # Letters that are drawn as nothing.
        ("\u3164", "U+3164"),
        ("a\u115fb", "U+115F"),
        ("\u2800", "U+2800"),
        ("a\u034fb", "U+034F"),
    ],
)
def test_what_cannot_be_seen_is_refused_by_its_number(text, point):
    with pytest.raises(UsageError) as refused:
        require_plain_line(text, "the reason")
    assert str(refused.value).startswith(f"the reason has a character that cannot be seen ({point}): write")
    assert str(refused.value).isprintable()


@given(st.text())
def test_what_passes_is_one_line_and_passes_unchanged_again(text):
    try:
        line = require_plain_line(text, "the reason")
    except UsageError:
        return
    assert len(line.splitlines()) <= 1
    assert require_plain_line(line, "the reason") == line

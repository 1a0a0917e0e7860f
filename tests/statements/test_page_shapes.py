"""A template that is rendered once for a shape prints of every value what it would print of it alone."""

from __future__ import annotations

import pytest
from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import escape

from include.page_shapes import Frame, Place, Shape, harmless


def environment(**templates: str) -> Environment:
    """Templates as pages have them; a double low line in a name is a dot."""
    named = {name.replace("__", "."): text for name, text in templates.items()}
    return Environment(autoescape=True, undefined=StrictUndefined, loader=DictLoader(named))


def shape_of(template: str, **values: object) -> Shape:
    return Shape(environment(page=template).get_template("page").render(values))


def test_values_stand_where_the_template_prints_them() -> None:
    shape = shape_of("100 % {{ b }}, {{ a }} & {{ b }} %s", a=Place(0), b=Place(1))

    assert "100 % two, one & two %s" == shape.fill(("one", "two"))
    assert "100 % %s, \1 & %s %s" == shape.fill(["\1", "%s"])


@pytest.mark.parametrize(("template", "filled"), [("all fixed %", "all fixed %"), ("<{{ a }}>", "<one>")])
def test_a_shape_may_have_no_gap_or_one(template: str, filled: str) -> None:
    assert filled == shape_of(template, a=Place(0)).fill(("one", "two"))


def test_a_template_may_ask_whether_a_value_is_there() -> None:
    assert "one" == shape_of("{% if a %}{{ a }}{% endif %}{% if b %}{{ b }}{% endif %}", a=Place(0), b="").fill(
        ("one",)
    )


@pytest.mark.parametrize("template", ["{% if a == 'x' %}y{% endif %}", "{% if 'x' != a %}y{% endif %}"])
def test_a_template_may_not_ask_what_a_value_is(template: str) -> None:
    with pytest.raises(TypeError, match="make it a flag of its own"):
        shape_of(template, a=Place(0))


@pytest.mark.parametrize("template", ["{{ a[1:] }}", "{{ a | upper }}", "{{ a | lower }}", "{{ a | reverse }}"])
def test_a_template_may_not_change_a_value(template: str) -> None:
    with pytest.raises(ValueError, match="may print a value, and not change it"):
        shape_of(template, a=Place(0))


@pytest.mark.parametrize("sign", ["<", ">", "&", '"', "'"])
def test_every_sign_of_html_is_escaped_in_every_value(sign: str) -> None:
    values = ("plain", f"a{sign}b", True, [sign])

    assert ["plain", str(escape(f"a{sign}b")), True, [sign]] == harmless(values)


def test_values_without_such_a_sign_are_left_as_they_are() -> None:
    values = ("Élan – ltée", "1\u00a0234,56", False, ["<"])

    assert values is harmless(values)


PAGE = "<title>{{ title }}</title>{% if has_language_choice %}nav{% endif %}{{ page_label }}<main>{{ bodies }}</main>"


@pytest.mark.parametrize(("choice", "nav"), [(True, b"nav"), (False, b"")])
def test_a_frame_escapes_its_words(choice: bool, nav: bytes) -> None:
    frame = Frame(environment(page__fr=PAGE), "fr", has_language_choice=choice)

    assert (b"<title>a &lt; \xc3\xa9</title>" + nav + b"1 &amp; 2<main>", b"</main>") == frame.around("a < é", "1 & 2")


@pytest.mark.parametrize("page", [PAGE.replace("{{ title }}", ""), PAGE + "{{ title }}", "{{ bodies }}" + PAGE])
def test_a_frame_with_other_gaps_stops_the_start(page: str) -> None:
    with pytest.raises(ValueError, match="once each, in this order"):
        Frame(environment(page__en=page), "en", has_language_choice=False)

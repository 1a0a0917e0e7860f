"""The page and the PDF of a certificate: what is reviewed, that both say the same, and that neither says more."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import page
import pikepdf
import pytest
from pypdf import PdfReader

from include.certificate import DOES_NOT_HOLD
from include.certificate_page import TEMPLATE_FOLDER, render_html, render_json
from include.certificate_pdf import render_pdf
from include.certificate_words import certificate_lines, tell_certificate
from tests.certificates.samples import SAMPLES, a_certificate, a_hash, check
from tests.html_checker import complaints

GOLDEN = Path(__file__).parent / "golden"
HOSTILE = '<script>alert("x")</script> & <b>\N{RIGHT-TO-LEFT OVERRIDE}'
Sample = Callable[[], dict[str, Any]]
EVERY_SAMPLE = pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)


class _Reader(HTMLParser):
    """The text of a page's body, and its tags in their order."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.text, self.tags = "", list[str]()
        self._is_shown = False
        self.feed(content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._is_shown |= tag == "main"

    def handle_data(self, data: str) -> None:
        if self._is_shown:
            self.text += f" {data}"


def html_of(content: dict[str, Any]) -> bytes:
    return render_html(render_json(content))


def pdf_of(content: dict[str, Any]) -> bytes:
    return render_pdf(render_json(content))


def pdf_text(content: dict[str, Any]) -> str:
    sheets = PdfReader(io.BytesIO(pdf_of(content))).pages
    return "\n".join(sheet.extract_text().rsplit("\n", 1)[0] for sheet in sheets)


def unspaced(text: str) -> str:
    """Without blanks and places to break, and without the colons that only a sheet sets behind its labels."""
    return re.sub(r"[\s\u200b:]", "", text)


# What was reviewed


@EVERY_SAMPLE
def test_a_page_is_what_was_reviewed(sample: Sample) -> None:
    name = next(name for name, made in SAMPLES.items() if made is sample)
    path, content = GOLDEN / f"{name}.html", html_of(sample())
    if os.environ.get("CARM_REWRITE_GOLDEN"):
        path.write_bytes(content)
    assert path.read_bytes() == content, f"{path.name} differs: see the diff, then CARM_REWRITE_GOLDEN=1"


def test_no_golden_file_is_left_over() -> None:
    assert {f"{name}.html" for name in SAMPLES} == {path.name for path in GOLDEN.iterdir()}


def test_nothing_is_said_against_a_page(tmp_path: Path) -> None:
    good = (GOLDEN / "good.html").read_text(encoding="utf-8")
    assert '<th scope="row">' in good
    (tmp_path / "damaged.html").write_text(good.replace('<th scope="row">', '<th scope="line">', 1), encoding="utf-8")
    (tmp_path / "hostile.html").write_bytes(html_of(a_certificate(run_id=HOSTILE)))
    said = complaints([*GOLDEN.glob("*.html"), *tmp_path.glob("*.html")])
    assert "scope" in str(said.pop("damaged.html", None))
    assert said == {}


@EVERY_SAMPLE
def test_a_sample_is_a_certificate_as_the_schema_describes_it(sample: Sample) -> None:
    schema = json.loads((TEMPLATE_FOLDER / "schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(sample(), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(sample() | {"bn15": "000000018RM0001"}, schema)


# What it says


@EVERY_SAMPLE
def test_the_pdf_says_word_for_word_what_the_page_says(sample: Sample) -> None:
    content = sample()
    on_page = _Reader(html_of(content)).text
    assert unspaced(on_page) == unspaced(pdf_text(content))


@EVERY_SAMPLE
def test_both_name_the_json_by_its_hash(sample: Sample) -> None:
    from hashlib import sha256

    content = sample()
    sha = sha256(render_json(content)).hexdigest()
    assert sha in html_of(content).decode()
    assert sha in pdf_text(content)
    assert any(sha in line for line in certificate_lines(content, sha))


def verdict_of(*results: str) -> tuple[str, str]:
    content = a_certificate(checks=[check("chain", "A title", result) for result in results])
    told = tell_certificate(content, a_hash("9"))["verdict"]
    return told["tone"], f"{told['word']}. {told['text']}".strip()


@pytest.mark.parametrize(
    ("results", "verdict"),
    [
        (("holds", "holds"), ("good", "All 2 checks hold.")),
        (
            ("holds", "not_checked"),
            ("open", "1 of 2 checks hold, none fails. 1 check could not be made: the table says why."),
        ),
        (("holds", "does_not_hold"), ("bad", "1 check does not hold. 1 check of 2 hold.")),
        (
            ("does_not_hold", "does_not_hold", "not_checked"),
            ("bad", "2 checks do not hold. 0 checks of 3 hold. 1 check could not be made: the table says why."),
        ),
    ],
)
def test_the_head_never_says_more_than_the_checks(results: tuple[str, ...], verdict: tuple[str, str]) -> None:
    assert verdict == verdict_of(*results)


@EVERY_SAMPLE
def test_every_check_stands_there_with_what_was_compared_and_its_result(sample: Sample) -> None:
    content = sample()
    text = _Reader(html_of(content)).text
    for row in content["month"]["checks"]:
        assert row["title"] in text
        assert row["compared"] in text
    words_of = {"holds": "holds", "does_not_hold": "does not hold", "not_checked": "not checked"}
    (table,) = (section["table"] for section in tell_certificate(content, "")["wide"])
    assert [words_of[row["result"]] for row in content["month"]["checks"]] == [row["cells"][1] for row in table["rows"]]


def approver(plan: dict[str, Any] | None) -> str:
    content = a_certificate()
    content["month"]["plan"] = plan and content["month"]["plan"] | plan
    return next(fact["value"] for fact in tell_certificate(content, "")["facts"] if fact["label"] == "Approver")


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        (None, "not known"),
        ({"approval": "not_needed"}, "not needed: the policy let the plan pass by itself"),
        ({"approval": "needed", "state": "held"}, "nobody has answered yet: the plan is held"),
        ({"approval": "not_allowed", "state": "held"}, "the policy lets no held plan be approved"),
        ({"state": "shadow"}, "nobody was asked: a shadow run applies nothing"),
        (
            {"approval": "needed", "answer": {"decision": "rejected", "decided_by": "clerk", "decided_at": "noon"}},
            "rejected by clerk, noon",
        ),
    ],
)
def test_the_approver_is_who_is_on_record_and_nobody_else(plan: dict[str, Any] | None, told: str) -> None:
    assert told == approver(plan)


def test_a_limit_may_be_reached_and_not_passed() -> None:
    content = a_certificate(plan={"margins": [{**_limit(3), "margin": 0}, {**_limit(4, "province ON"), "margin": -1}]})
    plan = next(section for section in tell_certificate(content, "")["left"] if section["id"] == "plan")
    assert [("within", "0"), ("passed", "-1")] == [(row["cells"][1], row["cells"][-1]) for row in plan["table"]["rows"]]


def _limit(changes: int, stratum: str = "all") -> dict[str, Any]:
    return {"limit": "max_changes", "stratum": stratum, "changes": changes, "allowed": 3}


def test_what_is_not_known_says_so() -> None:
    text = _Reader(html_of(SAMPLES["failing"]())).text
    assert text.count("not known") >= 10
    assert "no plan of these decisions is on record" in text


@EVERY_SAMPLE
def test_a_hostile_text_comes_out_as_text(sample: Sample) -> None:
    content = sample()
    content["moment"]["run_id"] = HOSTILE
    page_text = html_of(content).decode()
    assert "<script" not in page_text
    assert "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt; &amp; &lt;b&gt;" in page_text
    assert "<script>alert(" in re.sub(r"[\s\u200b]", "", pdf_text(content))


# How it is built


@EVERY_SAMPLE
def test_headings_come_in_order_and_the_page_asks_for_nothing(sample: Sample) -> None:
    content = html_of(sample())
    tags = _Reader(content).tags
    levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert (levels[0], levels.count(1)) == (1, 1)
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert not {"script", "link", "img", "iframe", "form", "a"} & set(tags)
    assert not re.search(rb"url\(|@import|http", content)


def test_the_same_json_gives_the_same_bytes_here_and_in_another_process() -> None:
    text = render_json(a_certificate())
    script = (
        "import sys; from include.certificate_page import render_html; from include.certificate_pdf import render_pdf;"
        "text = sys.stdin.buffer.read(); sys.stdout.buffer.write(render_html(text) + render_pdf(text))"
    )
    root = Path(__file__).parents[2]
    elsewhere = subprocess.run([sys.executable, "-c", script], cwd=root, input=text, capture_output=True, check=True)
    assert elsewhere.stdout == render_html(text) + render_pdf(text)
    assert b"/CreationDate(D:20211225120000Z)" in elsewhere.stdout


@EVERY_SAMPLE
def test_an_independent_checker_finds_nothing_against_pdf_ua_1(sample: Sample) -> None:
    report = page.validate_pdf_bytes(pdf_of(sample()), profile="ua1")
    assert [] == [(failure.rule_id, failure.message) for failure in report.failures]


def test_the_pdf_is_one_sheet_and_names_its_language_and_title() -> None:
    with pikepdf.open(io.BytesIO(pdf_of(a_certificate()))) as pdf:
        assert len(pdf.pages) == 1
        assert str(pdf.Root.Lang) == "en"
        assert bool(pdf.Root.MarkInfo.Marked)
        with pdf.open_metadata() as metadata:
            assert metadata["dc:title"] == "Certificate of statement month 2021-12"


def test_a_hash_can_be_copied_from_the_pdf_whole() -> None:
    text = pdf_text(a_certificate())
    assert a_hash("a") in text
    assert a_hash("1") in text


def test_a_failing_check_is_shown_by_its_word_and_not_by_a_colour_alone() -> None:
    content = a_certificate(checks=[check("chain", "A title", DOES_NOT_HOLD)])
    assert (
        '<tr class="bad"><th scope="row">A title</th><td class="state">does not hold</td>' in html_of(content).decode()
    )

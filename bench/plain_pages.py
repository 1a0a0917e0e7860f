"""The page of a statement as others would make it: by one plain template, and by joining strings.

Both say the same words as ours, of the statements that the benchmarks hold: in one language, with nothing that was
issued again, corrected, or posted late. Whoever measures proves that first.
"""

from __future__ import annotations

import re
from datetime import date
from html import escape, unescape
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from include.carm.allocation import Disbursement
from include.carm.contacts import Contacts
from include.carm.money import NO_BREAK_SPACE, format_amount, format_money
from include.carm.statement import COMPONENTS, Statement, StatementHead, StatementLine
from include.statement_page import LANGUAGES, TEMPLATE_FOLDER, read_texts
from include.transaction_kinds import kind_labels

_TAGS = re.compile(r"<style>.*?</style>|<[^>]+>", re.DOTALL)
_AGES = ("ageing_current", "ageing_30", "ageing_60", "ageing_90", "ageing_over_90", "ageing_total")
_COLUMNS = ("column_transaction", "column_posted", "column_due", "column_amount", "column_balance")


def words_of(page: bytes) -> str:
    """What a page says, without its tags and without white space, which templates set differently."""
    return "".join(unescape(_TAGS.sub("", page.decode())).split())


class PlainPages:
    """One environment, one template; every value is formatted where it stands."""

    def __init__(self, contacts: Contacts, disbursement: Disbursement) -> None:
        environment = Environment(
            autoescape=True,
            undefined=StrictUndefined,
            loader=FileSystemLoader(Path(__file__).parent),
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._template = environment.get_template("plain_statement.html.j2")
        self._texts, self._kinds = read_texts(), {language: kind_labels(language) for language in LANGUAGES}
        self._contacts, self._disbursement = contacts, disbursement
        self._css = (TEMPLATE_FOLDER / "statement.css").read_text(encoding="utf-8")

    def render(self, statement: Statement) -> bytes:
        """The page of a statement."""
        language = statement.head.language
        texts = self._texts[language]
        return self._template.render(
            head=statement.head,
            sections=list(statement.sections()),
            t=texts,
            kinds=self._kinds[language],
            components=[(texts[name], index) for index, name in enumerate(COMPONENTS)],
            contacts=self._contacts,
            disbursement=self._disbursement,
            css=self._css,
            money=format_money,
            amount=format_amount,
            space=NO_BREAK_SPACE,
            has_other=any(line.section == "other" for line in statement.lines),
            has_broker=any(line.broker_bn9 for line in statement.lines),
        ).encode()


class JoinedPages:
    """The least that Python can do: strings that are known are put between those that differ, and joined once.

    Only names are escaped, no number is looked at, and nobody could change the look of the page.
    """

    def __init__(self, contacts: Contacts, issued_on: date, disbursement: Disbursement) -> None:
        css = (TEMPLATE_FOLDER / "statement.css").read_text(encoding="utf-8")
        self._of = {language: _Joined(language, contacts, issued_on, disbursement, css) for language in LANGUAGES}

    def render(self, head: StatementHead, lines: list[StatementLine]) -> bytes:
        """The page of a statement."""
        return self._of[head.language].render(head, lines)


class _Joined:
    def __init__(
        self, language: str, contacts: Contacts, issued_on: date, disbursement: Disbursement, css: str
    ) -> None:
        texts = {name: escape(text, quote=False) for name, text in read_texts()[language].items()}
        self._language, self._texts = language, texts
        self._kinds = {name: escape(label, quote=False) for name, label in kind_labels(language).items()}
        self._components = [texts[name] + NO_BREAK_SPACE for name in COMPONENTS]
        self._number_of, self._reference_of, self._activity_of, self._broker_of = (
            texts[name].partition("{")[0] for name in ("line_number", "line_reference", "line_activity", "line_broker")
        )
        letterhead = contacts.letterhead
        self._start = f'<!DOCTYPE html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n<title>'
        self._from = (
            f'</title>\n<style>\n{css}\n</style>\n</head>\n<body>\n<main>\n<article lang="{language}">\n<header>'
            f"<div>\n<p>{letterhead.name[language]}</p>\n<p>{letterhead.programme[language]}</p>\n"
            f"<p>{letterhead.address[language]}</p>\n</div>\n<div>\n<h1>{texts['document_title']}</h1>\n"
            f"<p>{texts['account_heading']}</p>\n</div>\n</header>\n<p>{texts['account_holder']}</p>\n<p><bdi>"
        )
        self._table = "".join(f'<th scope="col">{texts[name]}</th>' for name in _COLUMNS)
        self._ages = "".join(f'<th scope="col">{texts[name]}</th>' for name in _AGES)
        self._credit = texts["do_credit_rule"].format(
            disbursed_over=format_money(disbursement.over_cents or 0, language),
            disbursed_after=disbursement.after_months,
        )
        self._end = (
            f"</ul>\n<h2>{texts['contacts']}</h2>\n<p>{texts['ask_helpdesk']}</p>\n"
            f"<p>{contacts.helpdesk_name[language]}</p>\n</article>\n</main>\n</body>\n</html>\n"
        )

    def render(self, head: StatementHead, lines: list[StatementLine]) -> bytes:
        language, t = self._language, self._texts
        money = format_money
        due, total = head.due_on, money(head.total_payable_cents, language)
        closing = money(head.closing_cents, language)
        if head.total_payable_cents:
            headline, amount, action = t["total_payable"], total, t["pay_by"].format(due_on=due)
        elif head.closing_cents < 0:
            headline, amount, action = t["credit_balance"], closing, t["no_payment"]
        else:
            name = "no_payment_for_now" if head.closing_cents else "no_payment"
            headline, amount, action = t["total_payable"], total, t[name]
        period = t["period_value"].format(period_start=head.period_start, period_end=head.period_end)
        page = [
            f"{self._start}{t['document_title']}, {head.period}, {head.bn15}{self._from}"
            f"{escape(head.legal_name or '')}</bdi></p>\n<dl>\n<dt>{t['bn15']}</dt><dd>{head.bn15}</dd>\n"
            f"<dt>{t['period']}</dt><dd>{period}</dd>\n"
            f"<dt>{t['issued_on']}</dt><dd>{head.issued_on}</dd>\n<dt>{t['due_on']}</dt><dd>{due}</dd>\n"
            f"<dt>{t['program_type']}</dt><dd>{t[f'program_{head.program_type}']}</dd>\n</dl>\n"
            f"<p>{headline} <strong>{amount}</strong></p>\n<p>{action}</p>\n<h2>{t['summary']}</h2>\n<table>\n"
            f"<thead><tr><th>{t['summary_item']}</th><th>{t['summary_amount']}</th></tr></thead>\n<tbody>\n"
            f"<tr><th>{t['opening'].format(period_start=head.period_start)}</th>"
            f"<td>{money(head.opening_cents, language)}</td></tr>\n"
            f"<tr><th>{t['debits']}</th><td>{money(head.debits_cents, language)}</td></tr>\n"
            f"<tr><th>{t['credits']}</th><td>{money(-head.credits_cents, language)}</td></tr>\n"
            f"<tr><th>{t['closing'].format(period_end=head.period_end)}</th><td>{closing}</td></tr>\n"
        ]
        under_review = money(head.under_review_cents, language) if head.under_review_cents else ""
        if under_review:
            page.append(f"<tr><th>{t['under_review']}</th><td>{under_review}</td></tr>\n")
        page.append(
            f"<tr><th>{t['total_payable']}</th><td>{total}</td></tr>\n</tbody>\n</table>\n<p>{t['amounts_note']}</p>\n"
        )
        if any(head.ageing):
            ages = "".join([f"<td>{money(cents, language)}</td>" for cents in (*head.ageing, head.closing_cents)])
            page.append(
                f"<h3>{t['ageing'].format(issued_on=head.issued_on)}</h3>\n<table>\n<tr>{self._ages}</tr>\n"
                f"<tr>{ages}</tr>\n</table>\n<p>{t['ageing_note']}</p>\n"
            )
        page.append(f"<h2>{t['transactions']}</h2>\n")
        sections = set()
        for section, group in groupby(lines, key=itemgetter(1)):
            sections.add(section)
            self._add_section(page, section, list(group))
        if not sections:
            page.append(f"<p>{t['no_transactions']}</p>\n")
        if head.calculated_interest_cents:
            calculated = t["calculated_interest_value"].format(
                period_start=head.period_start,
                period_end=head.period_end,
                calculated_interest=money(head.calculated_interest_cents, language),
            )
            page.append(
                f"<section>\n<h3>{t['calculated_interest']}</h3>\n<p>{calculated}</p>\n"
                f"<p>{t['calculated_interest_note']}</p>\n</section>\n"
            )
        page.append(f"<h2>{t['what_to_do']}</h2>\n<ul>\n")
        if head.total_payable_cents:
            do_pay = t["do_pay"].format(total=total, due_on=due, bn15=head.bn15)
            do_other = f"<li>{t['do_other']}</li>" if "other" in sections else ""
            page.append(f"<li>{do_pay}</li>{do_other}<li>{t['do_interest']}</li>")
        else:
            page.append(f"<li>{t['do_nothing']}</li>")
        if head.closing_cents < 0:
            page.append(f"<li>{t['do_credit']} {self._credit}</li>")
        if under_review:
            page.append(f"<li>{t['do_review'].format(under_review=under_review)}</li>")
        if any(line.broker_bn9 for line in lines):
            page.append(f"<li>{t['do_broker']}</li>")
        page.append(f"<li>{t['do_next'].format(period_end=head.period_end)}</li>{self._end}")
        return "".join(page).encode()

    def _add_section(self, page: list[str], section: str, lines: list[StatementLine]) -> None:
        language, t, amount = self._language, self._texts, format_amount
        note = f"<p>{t[f'note_{section}']}</p>\n" if f"note_{section}" in t else ""
        page.append(
            f"<section>\n<h3>{t[f'section_{section}']}</h3>\n{note}<table>\n<thead><tr>{self._table}</tr></thead>\n"
        )
        section_total = 0
        for line in lines:
            section_total += line.amount_cents
            number = (
                self._number_of + line.transaction_number
                if line.transaction_number
                else self._reference_of + line.transaction_id
            )
            dated = f", {self._activity_of}{line.activity_on}" if line.activity_on != line.posted_on else ""
            cents = line.components
            parts = " · ".join(
                [f"{name}{amount(part, language)}" for name, part in zip(self._components, cents, strict=True) if part]
            )
            broker = f"<small>{self._broker_of}{line.broker_bn9}</small>" if line.broker_bn9 else ""
            page.append(
                f"<tr><th>{self._kinds[line.kind]}<small>{number}{dated}</small>"
                f"{f'<small>{parts}</small>' if parts else ''}{broker}</th><td>{line.posted_on}</td>"
                f"<td>{line.due_on or ''}</td><td>{amount(line.amount_cents, language)}</td>"
                f"<td>{amount(line.running_balance_cents, language)}</td></tr>\n"
            )
        page.append(
            f"<tr><th>{t['section_total']}</th><td></td><td></td><td>{amount(section_total, language)}</td>"
            "<td></td></tr>\n</table>\n</section>\n"
        )

from datetime import date

import pytest
import yaml

from include.carm.contacts import Contacts
from include.carm.errors import UsageError
from include.carm.settings_file import CONFIG_FOLDER

SHIPPED = CONFIG_FOLDER / "contacts.yaml"


@pytest.mark.parametrize(
    ("day", "name", "telephone"),
    [
        (date(2021, 12, 25), "Canada Revenue Agency (CRA)", "1-800-959-5525"),
        (date(2024, 5, 12), "Canada Revenue Agency (CRA)", "1-800-959-5525"),
        (date(2024, 5, 13), "CARM Client Support Helpdesk (CCSH), Canada Border Services Agency", None),
    ],
)
def test_accounts_are_reinstated_by_the_office_of_that_day(day, name, telephone):
    contact = Contacts.load().reinstatement_on(day)
    assert (contact.name["en"], contact.telephone) == (name, telephone)


def test_a_day_before_the_first_contact_is_refused():
    with pytest.raises(UsageError, match="no reinstatement contact is known for 1979-12-31"):
        Contacts.load().reinstatement_on(date(1979, 12, 31))


def test_every_text_is_there_in_both_languages():
    contacts = Contacts.load()
    texts = [contacts.letterhead.name, contacts.letterhead.programme, contacts.letterhead.address]
    texts += [contacts.helpdesk_name, *(contact.name for contact in contacts.reinstatement)]
    assert all(set(text) == {"en", "fr"} and text["en"] != text["fr"] for text in texts)


def test_contacts_out_of_order_are_refused(tmp_path):
    values = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    values["reinstatement"].reverse()
    file = tmp_path / "contacts.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(UsageError, match="reinstatement must have at least one row, the oldest day first"):
        Contacts.load(file)

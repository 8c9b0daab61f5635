"""A field that vanishes or changes its type under us stops its kind of record, before anything of it is written; the
others go on, and it takes one word to go on with it."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crmbridge import wiring
from crmbridge.state.store import Store
from tests.support.project import Project, project

pytestmark = pytest.mark.journey


def described_without(monkeypatch: pytest.MonkeyPatch, change: Mapping[str, str | None]) -> None:
    """What Salesforce says of contacts from now on: columns of other types, or (None) not there."""
    as_it_is = wiring.describe

    def describe(connectors: Any) -> Any:
        found = as_it_is(connectors)
        contact = found["left", "contact"]
        columns = {name: one for name, one in contact.columns.items() if change.get(name, "") is not None}
        columns |= {name: replace(columns[name], type=type_) for name, type_ in change.items() if type_ is not None}
        found["left", "contact"] = replace(contact, columns=columns)
        return found

    monkeypatch.setattr(wiring, "describe", describe)


def edit_both(company: Project, text: str) -> tuple[str, str]:
    """A contact and an account that are paired get another telephone number in Salesforce."""
    store, person = Store.open(f"sqlite:///{company.store}"), company.salesforce()
    contact, account = (
        next(link.left_id for link in store.all_links(entity) if link.alive and link.left_id)
        for entity in ("contact", "account")
    )
    store.close()
    person.update("Contact", contact, Phone=text)
    person.update("Account", account, Phone=text)
    company.pass_time()
    return contact, account


def phone_there(company: Project, record: str) -> Any:
    shown = company.run_here("show", record, "--json")
    assert shown.code == 0, shown
    return shown.json["sides"].get("dynamics", {}).get("values", {}).get("phone")


@pytest.mark.parametrize(("column", "type_"), [("Phone", None), ("Salutation", "text")])
def test_the_kind_of_record_stops_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: str, type_: str | None
) -> None:
    with project(tmp_path) as company:
        company.first_run()
        company.settle()
        with monkeypatch.context() as changed:
            described_without(changed, {column: type_})
            contact, account = edit_both(company, "+49 711 4711")
            ran = company.run_here("sync", "--json")
            assert ran.code == 1, ran
            (sentence,) = ran.json["stopped"]["contact"]
            assert column in sentence
            assert not any("contact" in kinds for kinds in ran.json["counts"].values())
            assert "4711" in phone_there(company, account).replace(" ", "")
            status = company.run_here("status")
            assert sentence in status.out.replace("\n", " ")
            accepted = company.run_here("mapping", "accept", "contact", "--json")
            assert accepted.code == 0, accepted
            again = company.run_here("sync", "--json")
            assert set(again.json["stopped"]) == ({"contact"} if type_ is None else set()), "what is gone stays gone"
            if type_ is not None:
                company.settle()
        if type_ is None:  # and comes back
            company.settle()
        assert not json.loads(company.run_here("status", "--json").out)["stopped"]
        assert "4711" in phone_there(company, contact).replace(" ", "")

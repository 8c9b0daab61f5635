"""Translation by example: what each kind of value reads as, is written as, and what is refused and why."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

import mapping
from connectors.base import Column, Description
from crmbridge.model import Directory, Life, Money, NativeRef, Shared, Side, Unlinked, attribute_name
from mapping.translate import render
from tests.support.mapping_bench import CREATED, DIRECTORY, compiled, facts, row, row_of, shared_id
from tests.support.mapping_boxes import out_of_the_box

OPEN = Life(state="open")
LOOKUP = "_parentcustomerid_value@Microsoft.Dynamics.CRM.lookuplogicalname"


def test_pages_are_decoded_straight_to_typed_rows() -> None:
    columns = compiled("contact").columns("right")
    struct = mapping.row_struct("contact", {**columns, "@odata.etag": str})
    page = b'{"@odata.etag":"W/1","lastname":"Ek","birthdate":"1980-02-29","x":[1],"%s":"a"}'
    values: Any = msgspec.json.decode(page % LOOKUP.encode(), type=struct)
    assert (values.odata_etag, values.lastname, values.birthdate) == ("W/1", "Ek", date(1980, 2, 29))
    assert getattr(values, attribute_name(LOOKUP)) == "a"
    assert values.firstname is None
    values.firstname = "Bo"  # connectors fill in what a page lacks
    with pytest.raises(ValueError, match="would share the attribute"):
        mapping.row_struct("x", {"a.b": str, "a@b": str})


def test_a_lead_crosses() -> None:
    lead = compiled("lead")
    source = row(
        "right", "lead", subject="Fleet", lastname=" Boxer ", companyname="Acme", leadsourcecode=8, industrycode=9,
        revenue=Decimal("10.50"), _transactioncurrencyid_value="c-usd", _ownerid_value="u-a",
        address1_country="U.S.A.", emailaddress1="B@x.org", description="a\r\nb", numberofemployees=Decimal(12),
    )  # fmt: skip
    shared = lead.get("right", source, Life(state="open", status=2), facts())
    assert shared.problems == ()
    assert (shared.state, shared.status, shared.created_at) == ("open", "contacted", CREATED)
    assert {name: value for name, value in shared.fields.items() if value is not None} == {
        "topic": "Fleet", "last_name": "Boxer", "company": "Acme", "source": "web", "industry": "consulting",
        "revenue": Money(Decimal("10.50"), "USD"), "owner": "ann@x.org", "country": "US", "email": "B@x.org",
        "description": "a\nb", "employees": 12,
    }  # fmt: skip
    put = lead.put("left", shared.fields, facts=facts(), current=None, life=None, state="open", whole=shared)
    assert put == mapping.Put(
        columns={
            "LastName": "Boxer", "Company": "Acme", "LeadSource": "Web", "Industry": "Consulting",
            "AnnualRevenue": Decimal("11"), "OwnerId": NativeRef("user", "005A"), "Country": "United States",
            "Email": "B@x.org", "Description": "a\nb", "NumberOfEmployees": 12, "Status": "Working - Contacted",
            "Rating": None,  # no default of the other CRM's shall stand where nobody chose anything
        }
    )  # fmt: skip


def test_a_new_dynamics_lead_gets_topic_currency_and_an_owner() -> None:
    lead = compiled("lead")
    source = row("left", "lead", LastName="Boxer", Company="Acme", OwnerId="00G-queue")
    shared = lead.get("left", source, Life(status="Open-not  CONTACTED"), facts())
    assert [p.cause for p in shared.problems] == ["owner_not_user"]
    assert shared.problems[0].cause in mapping.NOTES
    assert (shared.state, shared.status) == ("open", "new")
    put = lead.put("right", shared.fields, facts=facts(), current=None, life=None, state="open", whole=shared)
    assert put.columns == {
        "lastname": "Boxer", "companyname": "Acme", "subject": "Acme - Boxer", "statuscode": 1,
        "ownerid": NativeRef("user", "u-app"), "transactioncurrencyid": NativeRef("currency", "c-usd"),
        "leadsourcecode": None, "industrycode": None, "leadqualitycode": None,
    }  # fmt: skip


def test_an_unknown_partner_user_never_fails_the_record() -> None:
    lead = compiled("lead")
    created = lead.put("left", {"last_name": "B", "company": "C", "owner": "cy@x.org"}, facts=facts(), current=None,
                       life=None, state=None)  # fmt: skip
    assert "OwnerId" not in created.columns
    assert [(p.cause, p.field) for p in created.problems] == [("no_such_user", "owner")]
    assert not created.blocked
    there = row("right", "lead", lastname="B", _ownerid_value="u-a")
    updated = lead.put("right", {"owner": "di@x.org"}, facts=facts(), current=there, life=None, state=None)
    assert (updated.columns, [p.cause for p in updated.problems]) == ({}, ["no_such_user"])


def test_fillers_are_written_read_as_none_and_never_go_back() -> None:
    lead, opportunity = compiled("lead"), compiled("opportunity")
    blank = lead.get("right", row("right", "lead", lastname="Boxer"), OPEN, facts())
    put = lead.put("left", blank.fields, facts=facts(), current=None, life=None, state=None, whole=blank)
    assert put.columns["Company"] == "[not provided]"
    assert put.fillers == {"company": "[not provided]"}
    back = row("left", "lead", LastName="Boxer", Company="[Not  provided]")
    assert lead.get("left", back, Life(status="x"), facts()).fields["company"] is None
    assert "Company" not in lead.put("left", blank.fields, facts=facts(), current=back, life=None, state=None).columns

    source = opportunity.get("right", row("right", "opportunity", name="Deal"), OPEN, facts())
    put = opportunity.put("left", source.fields, facts=facts(), current=None, life=None, state="open", whole=source)
    assert put.columns == {"Name": "Deal", "StageName": "Prospecting", "CloseDate": date(2026, 5, 30)}
    assert put.fillers == {"close_date": "2026-05-30"}
    there = row("left", "opportunity", Name="Deal", CloseDate=date(2026, 5, 30))
    ours = facts(fillers={"left": put.fillers})
    assert opportunity.get("left", there, OPEN, ours).fields["close_date"] is None
    assert opportunity.get("left", there, OPEN, facts()).fields["close_date"] == date(2026, 5, 30)


def test_a_cleared_value_and_a_required_one() -> None:
    lead = compiled("lead")
    there = row("left", "lead", LastName="Boxer", Company="Acme", Phone="1", Title="CEO")
    put = lead.put("left", {"company": None, "phone": None, "last_name": None, "title": "CEO"}, facts=facts(),
                   current=there, life=None, state=None)  # fmt: skip
    assert put.columns == {"Company": "[not provided]", "Phone": None}
    assert put.fillers == {"company": "[not provided]"}
    assert [(p.cause, p.field, put.blocked) for p in put.problems] == [("required_blank", "last_name", False)]
    new = lead.put("right", {"company": "Acme"}, facts=facts(), current=None, life=None, state=None)
    assert [(p.cause, p.field, new.blocked) for p in new.problems] == [("required_blank", "last_name", True)]


@pytest.mark.parametrize(
    ("side", "field", "value", "cause"),
    [
        ("right", "mobile", "+46 70 123 456 78 ext. 12345", "too_long"),
        ("right", "email", "not an address", "invalid_email"),
        ("left", "revenue", Money(Decimal(5), "EUR"), "currency_differs"),
        ("right", "revenue", Money(Decimal(5), "SEK"), "currency_differs"),
        ("right", "source", "trade_show", "unmapped_value"),
    ],
)
def test_a_value_that_cannot_be_written_is_one_fields_problem(side: Side, field: str, value: Any, cause: str) -> None:
    fields = {field: value, "title": "CEO"}
    current = row(side, "lead", **({"LastName": "B"} if side == "left" else {"lastname": "B"}))
    put = compiled("lead").put(side, fields, facts=facts(), current=current, life=None, state=None)
    assert [(p.cause, p.field) for p in put.problems] == [(cause, field)]
    assert list(put.columns.values()) == ["CEO"]


def test_a_value_that_cannot_be_read_is_absent() -> None:
    shared = compiled("lead").get("left", row("left", "lead", LeadSource="Webinar", Title="CEO"), OPEN, facts())
    assert [(p.cause, p.field) for p in shared.problems] == [("unmapped_value", "source")]
    assert "source" not in shared.fields
    assert shared.fields["title"] == "CEO"
    money = row("right", "lead", revenue=Decimal(1), _transactioncurrencyid_value="c-gone")
    assert [p.cause for p in compiled("lead").get("right", money, OPEN, facts()).problems] == ["unknown_currency"]


def test_links() -> None:
    contact = compiled("contact")

    def account(**wire: Any) -> Any:
        return contact.get("right", row_of("right", "contact", wire), Life(), facts()).fields["account"]

    assert account(_parentcustomerid_value="r-7", **{LOOKUP: "account"}) == "7"
    assert account(_parentcustomerid_value="new", **{LOOKUP: "account"}) == Unlinked("account", "new")
    assert account(_parentcustomerid_value="r-7", **{LOOKUP: "contact"}) is None
    there = row("right", "contact", lastname="B")
    put = contact.put("right", {"account": "7"}, facts=facts(), current=there, life=None, state=None)
    assert put.columns == {"parentcustomerid_account": NativeRef("account", "r-7")}
    linked = row_of("right", "contact", {"_parentcustomerid_value": "r-7", LOOKUP: "account"})
    assert contact.put("right", {"account": "7"}, facts=facts(), current=linked, life=None, state=None).columns == {}
    cleared = contact.put("right", {"account": None}, facts=facts(), current=linked, life=None, state=None)
    assert cleared.columns == {"parentcustomerid_account": None}
    lonely = contact.put(
        "left",
        {"account": "7"},
        facts=facts(native_id=lambda *_: None),
        current=row("left", "contact"),
        life=None,
        state=None,
    )
    assert [p.cause for p in lonely.problems] == ["unlinked"]
    assert shared_id("left", "account", "l-1") == "1"


def test_amount_and_date_of_a_won_opportunity_are_the_actual_ones() -> None:
    opportunity = compiled("opportunity")
    there = row(
        "right", "opportunity", name="D", estimatedvalue=Decimal(10), actualvalue=Decimal(12),
        estimatedclosedate=date(2026, 1, 1), actualclosedate=date(2026, 2, 2), _transactioncurrencyid_value="c-usd",
    )  # fmt: skip
    for state, amount, day in (("open", 10, 1), ("won", 12, 2), ("lost", 10, 1)):
        fields = opportunity.get("right", there, Life(state=state), facts()).fields  # type: ignore[arg-type]
        assert (fields["amount"], fields["close_date"]) == (Money(Decimal(amount), "USD"), date(2026, day, day))
    wanted = {"amount": Money(Decimal(11), "USD")}
    won = opportunity.put("right", wanted, facts=facts(), current=there, life=Life(state="open"), state="won")
    assert won.columns == {"actualvalue": Decimal(11)}


def test_currencies() -> None:
    opportunity = compiled("opportunity")
    there = row("right", "opportunity", name="D", estimatedvalue=Decimal(10), _transactioncurrencyid_value="c-usd")
    euros = {"amount": Money(Decimal("5.005"), "EUR")}
    put = opportunity.put("right", euros, facts=facts(), current=there, life=None, state=None)
    assert put.columns == {
        "estimatedvalue": Decimal("5.01"), "transactioncurrencyid": NativeRef("currency", "c-eur"),
    }  # fmt: skip

    boxes = out_of_the_box()
    plain = boxes["left", "opportunity"]
    columns = {**plain.columns, "CurrencyIsoCode": Column(name="CurrencyIsoCode", type="choice", restricted=True)}
    boxes["left", "opportunity"] = Description(
        entity="opportunity", table="Opportunity", columns=columns, statuses=plain.statuses
    )
    from tests.support.mapping_bench import MAPPINGS

    documents, _ = mapping.load(MAPPINGS)
    multi = mapping.compile(documents, descriptions=boxes).entities["opportunity"]
    assert multi.columns("left")["CurrencyIsoCode"] is str
    struct = mapping.row_struct("o", multi.columns("left"))
    known = Directory(currency="USD", multi_currency=True, currencies={"USD": "USD", "EUR": "EUR"})
    given = facts(directory={**DIRECTORY, "left": known})
    current = msgspec.structs.replace(there.values)
    current = struct(Name="D", Amount=Decimal(1), CurrencyIsoCode="USD")
    as_row = row("left", "opportunity")
    as_row = type(as_row)(ref=as_row.ref, version="1", created_at=None, modified_at=None, values=current)
    put = multi.put("left", euros, facts=given, current=as_row, life=None, state=None)
    assert put.columns == {"Amount": Decimal("5.01"), "CurrencyIsoCode": "EUR"}
    assert multi.get("left", as_row, OPEN, given).fields["amount"] == Money(Decimal(1), "USD")


def test_the_spelling_that_is_there_stays() -> None:
    account = compiled("account")
    there = row(
        "left", "account", Name="Acme", Phone="(650) 555-0100", BillingCountry="USA", Website="http://www.acme.com/",
        Industry="Banking", AnnualRevenue=Decimal(11),
    )  # fmt: skip
    wanted = {
        "name": "Acme", "phone": "+1 650-555-0100", "country": "US", "website": "acme.com", "industry": "finance",
        "revenue": Money(Decimal("10.5"), "USD"),
    }  # fmt: skip
    put = account.put("left", wanted, facts=facts(), current=there, life=None, state=None)
    assert put.columns == {}  # Banking and Finance are one there, so Banking stays
    there = row("right", "account", name="Acme", industrycode=16)
    assert (
        account.put("right", {"industry": "banking"}, facts=facts(), current=there, life=None, state=None).columns == {}
    )


def test_equality_up_to_what_is_lost() -> None:
    same = {rule.name: rule.same for rule in compiled("account").rules}
    assert same["revenue"](Money(Decimal("10.5"), "USD"), Money(Decimal(11), "USD"))
    assert not same["revenue"](Money(Decimal(11), "EUR"), Money(Decimal(11), "USD"))
    assert same["industry"]("banking", "finance")
    assert not same["industry"]("banking", "retail")
    assert not same["phone"]("+46 8 123 456 78", "+47 8 123 456 78")
    assert same["phone"]("08-123 456 78", "+46 8 123 456 78")
    owner = next(rule for rule in compiled("account").rules if rule.name == "owner")
    assert (owner.rule, owner.kind, owner.sides) == ("create only", "user", frozenset({"left", "right"}))


CUSTOM = """\
entity: contact
salesforce: {object: Contact}
dynamics: {table: contact}
fields:
  last_name: {salesforce: LastName, dynamics: lastname}
  no_calls: {salesforce: DoNotCall, dynamics: donotphone, convert: boolean, restrictive: true, rule: prefer dynamics}
  seen: {salesforce: LastModifiedDate, dynamics: lastusedincampaign, convert: datetime}
  day: {salesforce: Birthdate, dynamics: {column: lastusedincampaign2}, convert: date, zone: Europe/Stockholm,
        lossy: salesforce}
"""


def test_booleans_instants_and_days_of_a_named_zone() -> None:
    boxes = out_of_the_box()
    right = boxes["right", "contact"]
    stamp = Column(name="lastusedincampaign2", type="datetime")
    boxes["right", "contact"] = Description(
        entity="contact", table="contact", columns={**right.columns, "lastusedincampaign2": stamp}
    )
    documents, _ = mapping.load({"contact.yaml": CUSTOM})
    contact = mapping.compile(documents, descriptions=boxes).entities["contact"]
    struct = mapping.row_struct("c", contact.columns("right"))
    page = b'{"lastname":"Ek","lastusedincampaign":"2026-01-31T09:15:22Z","lastusedincampaign2":"2026-01-31T23:30:00Z"}'
    there = type(row("right", "contact"))(
        ref=row("right", "contact").ref, version="1", created_at=None, modified_at=None,
        values=msgspec.json.decode(page, type=struct),
    )  # fmt: skip
    fields = contact.get("right", there, Life(), facts()).fields
    assert fields == {
        "last_name": "Ek", "no_calls": False,
        "seen": datetime(2026, 1, 31, 9, 15, 22, tzinfo=UTC), "day": date(2026, 2, 1),
    }  # fmt: skip
    assert contact.put("right", fields, facts=facts(), current=there, life=None, state=None).columns == {}
    moved = contact.put("right", {"day": date(2026, 7, 1)}, facts=facts(), current=there, life=None, state=None)
    assert moved.columns == {"lastusedincampaign2": datetime(2026, 6, 30, 22, 0, tzinfo=UTC)}
    rule = next(r for r in contact.rules if r.name == "no_calls")
    assert (rule.restrictive, rule.rule) == (True, "prefer right")


def test_unmapped_values_may_pass_or_be_ignored() -> None:
    text = CUSTOM.split("  no_calls")[0] + "  source: {salesforce: LeadSource, dynamics: new_source, values: s}\n"
    for mode, expected in (("pass", {"last_name": "B", "source": "Fair"}), ("ignore", {"last_name": "B"})):
        table = f"values:\n  s: {{unmapped: {mode}, web: {{salesforce: Web, dynamics: web}}}}\n"
        documents, problems = mapping.load({"contact.yaml": text + table})
        assert not problems
        contact = mapping.compile(documents).entities["contact"]
        values = mapping.row_struct("c", contact.columns("left"))(LastName="B", LeadSource="Fair")
        there = type(row("left", "contact"))(
            ref=row("left", "contact").ref, version="1", created_at=None, modified_at=None, values=values
        )
        shared = contact.get("left", there, Life(), facts())
        assert (shared.fields, shared.problems) == (expected, ())
        put = contact.put("right", {"source": "Fair"}, facts=facts(), current=None, life=None, state=None)
        assert put.columns == ({"new_source": "Fair"} if mode == "pass" else {})
        assert put.problems == ()


def test_templates() -> None:
    assert render("{company} - {last_name}", {"company": "Acme", "last_name": "Ek"}, None) == "Acme - Ek"
    assert render("{company} - {last_name}", {"last_name": "Ek"}, None) == "Ek"
    assert render("{company} - {last_name}", {}, None) is None
    assert render("{company} - {last_name}", {"company": "Acme", "last_name": "Ek"}, 6) == "Acme -"[:6].rstrip()
    assert render("new", {}, None) == "new"


def test_a_deleted_row_has_its_life_only() -> None:
    gone = type(row("left", "lead"))(
        ref=row("left", "lead").ref, version="", created_at=None, modified_at=None, deleted=True, values=None
    )
    assert compiled("lead").get("left", gone, Life(), facts()) == Shared(fields={})

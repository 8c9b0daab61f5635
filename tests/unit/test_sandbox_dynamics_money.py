"""Money in the Dataverse half: currencies, base values, price lists, products, revenue (dataverse-api §7)."""

from typing import Any

import pytest

from tests.support.dataverse import Environment, shaped


@pytest.fixture
def env() -> Environment:
    return Environment()


def currency(env: Environment, code: str) -> str:
    return env.get(f"transactioncurrencies?$filter=isocurrencycode eq '{code}'").rows[0]["transactioncurrencyid"]


def bind(env: Environment, code: str) -> dict[str, str]:
    return {"transactioncurrencyid@odata.bind": f"/transactioncurrencies({currency(env, code)})"}


def test_base_values_follow_value_and_currency(env: Environment) -> None:
    url = f"opportunities({env.post('opportunities', {'name': 'O', 'estimatedvalue': 92, **bind(env, 'EUR')}).id})"
    row = env.row(url)
    assert (row["exchangerate"], row["estimatedvalue"], row["estimatedvalue_base"]) == (0.92, 92, 100)
    env.patch(url, {"estimatedvalue": 46, "estimatedvalue_base": 1})  # a base value cannot be written
    assert env.row(url)["estimatedvalue_base"] == 50
    env.patch(url, bind(env, "USD"))
    assert env.row(url)["estimatedvalue_base"] == 46
    assert env.patch(url, {"transactioncurrencyid@odata.bind": None}).code == "0x80048CFB"


def test_money_is_rounded_to_its_currency_s_precision(env: Environment) -> None:
    env.app.load({"transactioncurrency": [
        {"isocurrencycode": "JPY", "currencyname": "Yen", "currencysymbol": "¥", "exchangerate": 150,
         "currencyprecision": 0},
    ]})  # fmt: skip
    for code, kept in (("JPY", 13), ("EUR", 12.57)):
        key = env.post("opportunities", {"name": "O", "estimatedvalue": 12.567, **bind(env, code)}).id
        assert env.row(f"opportunities({key})")["estimatedvalue"] == kept


def test_a_row_without_currency_gets_the_base_one_when_money_is_set(env: Environment) -> None:
    lead = f"leads({env.lead()})"
    assert env.row(lead)["_transactioncurrencyid_value"] is None
    env.patch(lead, {"budgetamount": 5})
    assert env.row(lead)["_transactioncurrencyid_value"] == currency(env, "USD")


def test_a_price_list_has_the_row_s_currency(env: Environment) -> None:
    prices = env.post("pricelevels", {"name": "Euro prices", **bind(env, "EUR")}).id
    listed = {"pricelevelid@odata.bind": f"/pricelevels({prices})"}
    assert env.post("opportunities", {"name": "O", **listed, **bind(env, "USD")}).code == "0x80048CF6"
    url = f"opportunities({env.post('opportunities', {'name': 'O', **listed, **bind(env, 'EUR')}).id})"
    assert env.patch(url, bind(env, "USD")).code == "0x80048CF6"
    assert env.row(url)["_transactioncurrencyid_value"] == currency(env, "EUR")


def product(env: Environment, opportunity: str, **values: Any) -> Any:
    body = {"productdescription": "P", "opportunityid@odata.bind": f"/opportunities({opportunity})", **values}
    return env.post("opportunityproducts", body)


def test_products_make_the_totals_and_a_calculated_revenue(env: Environment) -> None:
    key = env.post("opportunities", {"name": "O", "estimatedvalue": 7, "isrevenuesystemcalculated": True}).id
    url = f"opportunities({key})"
    assert env.row(url)["estimatedvalue"] == 0
    first = product(env, key, quantity=2, priceperunit=50, tax=10, manualdiscountamount=20).id
    product(env, key, priceperunit=20)
    line = env.row(f"opportunityproducts({first})")
    assert (line["baseamount"], line["extendedamount"]) == (100, 90)
    env.patch(url, {"discountpercentage": 10, "freightamount": 5, "estimatedvalue": 1})
    row = env.row(url)
    assert (row["totallineitemamount"], row["totaldiscountamount"], row["totaltax"]) == (100, 10, 10)
    assert (row["totalamount"], row["estimatedvalue"], row["estimatedvalue_base"]) == (105, 105, 105)
    assert env.send("DELETE", f"opportunityproducts({first})").status == 204
    assert env.row(url)["estimatedvalue"] == 23
    env.patch(url, {"isrevenuesystemcalculated": False, "estimatedvalue": 7})
    assert env.row(url)["estimatedvalue"] == 7
    assert env.post("CalculatePrice", {
        "Target": {"@odata.type": "Microsoft.Dynamics.CRM.opportunity", "opportunityid": key},
    }).status == 204  # fmt: skip
    assert env.post("CalculatePrice", {}).code == "0x80040203"


def test_the_currency_stays_while_there_are_products_or_quotes(env: Environment) -> None:
    for below in ("opportunityproducts", "quotes"):
        key = env.post("opportunities", {"name": "O", "estimatedvalue": 7}).id
        env.post(below, {"opportunityid@odata.bind": f"/opportunities({key})"})
        assert env.patch(f"opportunities({key})", {"estimatedvalue": 8, **bind(env, "EUR")}).code == "0x80048479"
        assert env.row(f"opportunities({key})")["estimatedvalue"] == 7


def test_open_quotes_keep_a_deal_from_being_won(env: Environment) -> None:
    key = env.post("opportunities", {"name": "O"}).id
    env.post("quotes", {"name": "Q", "opportunityid@odata.bind": f"/opportunities({key})"})
    body = {"Status": 3, "OpportunityClose": {"subject": "W", "opportunityid@odata.bind": f"/opportunities({key})"}}
    assert env.post("WinOpportunity", body).code == "0x80040516"


@pytest.mark.parametrize(
    ("convention", "expected"),
    [
        (0, "Byron, Ada"), (1, "Ada Byron"), (2, "Byron, Ada K."), (3, "Ada K. Byron"), (4, "Byron, Ada King"),
        (5, "Ada King Byron"), (6, "Byron Ada"), (7, "ByronAda"),
    ],
)  # fmt: skip
def test_names_are_put_together_as_the_organization_wants(convention: int, expected: str) -> None:
    env = Environment(shape=shaped(organization={"fullnameconvention": convention}))
    lead = env.lead(firstname="Ada", middlename="King")
    assert env.row(f"leads({lead})")["fullname"] == expected
    env.patch(f"leads({lead})", {"lastname": None, "firstname": None, "middlename": None})
    assert env.row(f"leads({lead})")["fullname"] is None

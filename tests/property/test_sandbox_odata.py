"""Queries by chance in OData and FetchXML give what a plain evaluator of them gives, or the right error."""

import json
import random
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from decimal import Decimal
from functools import cache
from typing import Any
from urllib.parse import quote, unquote

import pytest

from crmbridge.sandbox.dynamics.shape_file import load_shape
from tests.support.dataverse import NOON, ROOT, Environment
from tests.support.odata_reference import (
    DAYS,
    MOMENTS,
    TEXTS,
    FetchQuery,
    Query,
    World,
    canonical,
    fetch_query,
    odata_query,
)

SEED = 20260814
PAGES_MAX = 60
COOKIE = "@Microsoft.Dynamics.CRM.fetchxmlpagingcookie"
MORE = "@Microsoft.Dynamics.CRM.morerecords"


@cache
def environment() -> tuple[Environment, World]:
    shape = load_shape()
    facts = replace(shape.organization, requests=10**9, execution_seconds=10**9)
    env, rng = Environment(shape=replace(shape, organization=facts)), random.Random(SEED)

    def some(value: Any) -> Any:
        return value if rng.random() < 0.7 else None

    accounts: list[dict[str, Any]] = [
        {
            "_ref": f"a{number}",
            "name": name or "none",
            "numberofemployees": some(number),
            "revenue": some(number * 50.5),
        }
        for number, name in enumerate(TEXTS[:8])
    ]
    leads: list[dict[str, Any]] = []
    for number in range(70):
        lead = {
            "subject": some(rng.choice(TEXTS)),
            "lastname": f"L{number}",
            "companyname": some(rng.choice(TEXTS)),
            "numberofemployees": some(rng.choice([0, 1, 5, 10, 100])),
            "estimatedamount": some(rng.choice([0, 1, 99.5, 12500.25])),
            "estimatedvalue": some(rng.choice([0.0, 5.0, 99.5])),
            "leadsourcecode": some(rng.randint(1, 10)),
            "donotemail": rng.random() < 0.5,
            "estimatedclosedate": some(rng.choice(DAYS)),
            "lastonholdtime": some(rng.choice(MOMENTS)),
            "parentaccountid": some(f"@a{rng.randrange(8)}"),
            "statecode": rng.choice([0, 2]),
        }
        lead["statuscode"] = 1 if lead["statecode"] == 0 else 4
        leads.append({name: value for name, value in lead.items() if value is not None})
    env.app.load({"account": accounts, "lead": leads})
    world = World(
        leads=rows(env, "leads"),
        accounts={row["accountid"]: row for row in rows(env, "accounts")},
        now=NOON,
        user=env.app.application_user,
    )
    return env, world


def rows(env: Environment, name: str) -> list[dict[str, Any]]:
    return json.loads(env.get(name).reply.body, parse_float=Decimal)["value"]


def test_odata_means_what_the_reference_says() -> None:
    odata(400, SEED)


def test_fetchxml_means_what_the_reference_says() -> None:
    fetchxml(300, SEED)


@pytest.mark.slow
def test_ten_thousand_odata_queries() -> None:
    odata(10_000, SEED + 1)


@pytest.mark.slow
def test_ten_thousand_fetchxml_queries() -> None:
    fetchxml(10_000, SEED + 2)


def odata(number: int, seed: int) -> None:
    print(f"seed {seed}")
    env, world = environment()
    rng = random.Random(seed)
    for turn in range(number):
        query = odata_query(world, rng)
        assert answered(env, query) == (query.code or wanted(query)), f"{turn} of seed {seed}: {query.url}"


def wanted(query: Query) -> Any:
    found = query.rows or []
    return canonical(found) if found and isinstance(found[0], dict) else found


def answered(env: Environment, query: Query) -> Any:
    set_name, _, text = query.url.partition("?")
    url = f"{ROOT}/{set_name}?" + "&".join(encoded(option) for option in options(text))
    found: list[Any] = []
    key = "leadid" if set_name == "leads" else "accountid"
    for _ in range(PAGES_MAX):
        page = env.get(url, **({"Prefer": query.prefer} if query.prefer else {}))
        assert page.status in (200, 400), page.text
        if page.status == 400:
            return page.code
        body = json.loads(page.reply.body, parse_float=Decimal)
        assert query.count is None or body["@odata.count"] == query.count
        found += body["value"]
        url = body.get("@odata.nextLink", "")
        if not url:
            break
    return canonical(found) if "$apply" in text else [row[key] for row in found]


def options(text: str) -> list[str]:
    """Split at each & that begins an option."""
    pieces = text.split("&")
    found = pieces[:1]
    for piece in pieces[1:]:
        if piece.startswith("$"):
            found.append(piece)
        else:
            found[-1] += "&" + piece
    return found


def encoded(option: str) -> str:
    name, _, value = option.partition("=")
    return f"{name}={quote(value, safe='')}"


def fetchxml(number: int, seed: int) -> None:
    print(f"seed {seed}")
    env, world = environment()
    rng = random.Random(seed)
    for turn in range(number):
        query = fetch_query(world, rng)
        expected = query.code or (canonical(query.rows or []) if query.groups else query.rows)
        assert fetched(env, query) == expected, f"{turn} of seed {seed}: {query.xml(1, '')}"


def fetched(env: Environment, query: FetchQuery) -> Any:
    """Every page, as a client reads them: with the cookie where one came, by number where none did."""
    found: list[Any] = []
    cookie = ""
    for page in range(1, PAGES_MAX):
        answer = env.get(
            f"leads?fetchXml={quote(query.xml(page, cookie), safe='')}",
            Prefer=f'odata.include-annotations="{COOKIE[1:]},{MORE[1:]}"',
        )
        assert answer.status in (200, 400), answer.text
        if answer.status == 400:
            return answer.code
        body = json.loads(answer.reply.body, parse_float=Decimal)
        found += body["value"]
        if not body.get(MORE):
            break
        given = ElementTree.fromstring(body[COOKIE]) if COOKIE in body else None
        cookie = unquote(unquote(given.attrib["pagingcookie"])) if given is not None else ""
    return canonical(found) if query.groups else [row["leadid"] for row in found]

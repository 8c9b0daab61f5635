"""Orders that are kept follow every write, and its undoing: pages are right whatever happened in between."""

import random
from typing import Any

import pytest

from crmbridge.sandbox.dynamics.store import Store
from tests.support.dataverse import Environment

ORDERS = ["", "&$orderby=subject", "&$orderby=subject desc,numberofemployees", "&$orderby=numberofemployees desc"]


class Undone(Exception):
    """Rolls a transaction back."""


@pytest.mark.parametrize("seed", range(5))
def test_orders_follow_writes_and_what_was_rolled_back(seed: int) -> None:
    print(f"seed {seed}")
    env, rng = Environment(), random.Random(seed)
    store = env.app.store
    for turn in range(120):
        keys = list(store.rows("lead"))
        some = rng.choice(keys) if keys else None
        kind = rng.choice(["create", "create", "update", "delete", "undone"])
        row = {"subject": rng.choice("aBbC"), "numberofemployees": rng.choice([None, 1, 2])}
        if kind == "create" or some is None:
            env.lead(**row)
        elif kind == "update":
            store.put("lead", some, {**store.rows("lead")[some], **row})
        elif kind == "delete":
            store.remove("lead", some)
        else:
            with pytest.raises(Undone):
                doomed(store, some, f"{turn:08}-0000-4000-8000-000000000000", row)
        if turn % 7 == 0:
            check(env)
    check(env)


def doomed(store: Store, some: str, fresh: str, row: dict[str, Any]) -> None:
    with store.transaction():
        store.put("lead", some, {**store.rows("lead")[some], **row})
        store.put("lead", fresh, {**row, "leadid": fresh})
        store.remove("lead", some)
        raise Undone


def check(env: Environment) -> None:
    """Paged by any order, the rows are those of the table, sorted the plain way."""
    rows = sorted(env.app.store.rows("lead").values(), key=lambda row: row["leadid"])
    number = [(row.get("numberofemployees") is not None, row.get("numberofemployees") or 0) for row in rows]
    text = [row["subject"].casefold() for row in rows]
    plain = list(range(len(rows)))
    second = sorted(sorted(plain, key=lambda n: number[n]), key=lambda n: text[n], reverse=True)
    expected = [
        plain,
        sorted(plain, key=lambda n: text[n]),
        second,
        sorted(plain, key=lambda n: number[n], reverse=True),
    ]
    for order, wanted in zip(ORDERS, expected, strict=True):
        seen: list[str] = []
        url = f"leads?$select=leadid{order}"
        while url:
            page = env.get(url, Prefer="odata.maxpagesize=9")
            seen += [row["leadid"] for row in page.rows]
            url = page.json.get("@odata.nextLink", "")
        assert seen == [rows[n]["leadid"] for n in wanted], order

"""Twins are found by keys on file: what a cycle reads does not grow with the records that have no partner."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import mapping
from crmbridge.model import SIDES, Entity, Ref
from crmbridge.state.codec import RowCodec
from crmbridge.state.match_keys import UNREAD
from crmbridge.state.words import Batch, Keyed
from crmbridge.sync.key_index import KeyIndex
from tests.support.engine import MAPPINGS, Bench, bench


class Counting(RowCodec):
    """Counts the records that are read from the store."""

    def __init__(self, codec: RowCodec, loaded: Counter[str]) -> None:
        self._codec, self._loaded = codec, loaded

    def load(self, side: str, entity: str, text: str | None) -> Any:
        self._loaded[entity] += 1
        return self._codec.load(side, entity, text)

    def dump(self, values: Any) -> str | None:
        return self._codec.dump(values)


@contextmanager
def reads(desk: Bench) -> Iterator[Counter[str]]:
    before, loaded = desk.store._rows, Counter[str]()  # pyright: ignore[reportPrivateUsage]
    desk.store._rows = Counting(before, loaded)  # pyright: ignore[reportPrivateUsage]
    try:
        yield loaded
    finally:
        desk.store._rows = before  # pyright: ignore[reportPrivateUsage]


@contextmanager
def among(strangers: int, tmp_path: Path) -> Iterator[Bench]:
    """So many accounts and contacts on both sides that nothing reaches, so that they have no partners."""
    with bench(f"sqlite:///{tmp_path}/{strangers}.sqlite3") as desk:
        for side in SIDES:
            for n in range(strangers):
                desk.crm(side).add("account", name=f"{side} company {n}", city="Ulm", website=f"{side}{n}.example")
                desk.crm(side).add("contact", first_name="Kim", last_name=f"{side} {n}", email=f"{side}@{n}.example")
        desk.sync()
        yield desk


def index_of(desk: Bench, entity: Entity) -> KeyIndex:
    return KeyIndex(hands=desk.engine.look().hands, entity=entity)


def parts(desk: Bench, entity: Entity, **fields: Any) -> list[str]:
    return index_of(desk, entity).keys.parts(fields)


def read_by_one_new_record(strangers: int, tmp_path: Path) -> Counter[str]:
    with among(strangers, tmp_path) as desk:
        twin = desk.south.add("account", name="Nordwind Ltd", city="Kiel")
        desk.sync()
        account = desk.north.add("account", name="Nordwind", city="Kiel")
        with reads(desk) as loaded:
            desk.sync()
        assert desk.partner("left", "account", account) == twin
        return loaded


def read_by_one_conversion(strangers: int, tmp_path: Path) -> Counter[str]:
    with among(strangers, tmp_path) as desk:
        twin = desk.south.add("account", name="Nordwind Ltd", city="Kiel")
        here, there = desk.lead_pair(company="Nordwind", city="Kiel", email="k@nordwind.example")
        desk.north.convert_lead(here, create_opportunity=False)
        made = desk.north.read("lead", here)["account_id"]
        desk.north.edit("account", made, city="Kiel")
        with reads(desk) as loaded:
            desk.sync()
        assert desk.south.read("lead", there)["account_id"] == twin
        assert desk.partner("left", "account", made) == twin
        return loaded


@pytest.mark.parametrize("read", [read_by_one_new_record, read_by_one_conversion])
def test_what_is_read_does_not_grow_with_strangers(read: Any, tmp_path: Path) -> None:
    few, many = read(20, tmp_path), read(500, tmp_path)
    assert few["account"] > 0
    assert many == few


def test_another_mapping_makes_the_keys_anew(tmp_path: Path) -> None:
    with among(3, tmp_path) as desk:
        here = desk.north.add("account", name="Nordwind", city="Kiel", phone="040 1234567")
        desk.sync()
        old = parts(desk, "account", name="Nordwind", city="Kiel")
        assert desk.store.key_holders("left", "account", old) == {old[0]: [here]}
        texts = {**MAPPINGS}
        texts["account.yaml"] = texts["account.yaml"].replace("[[website, name], [name, city]]", "[[name, phone]]")
        documents, findings = mapping.load(texts, connections={"north": "memory", "south": "memory"})
        assert not findings, findings
        desk.engine.compiled = mapping.compile(documents)
        assert not index_of(desk, "account").is_good
        assert index_of(desk, "contact").is_good
        desk.sync()
        assert index_of(desk, "account").is_good
        assert desk.store.key_holders("left", "account", old) == {}
        twin = desk.south.add("account", name="NORDWIND", phone="040 1234567")
        desk.sync()
        assert desk.partner("left", "account", here) == twin


def test_a_store_without_keys_gets_them(tmp_path: Path) -> None:
    """As after an upgrade: records are there, and nobody has noted by what they are recognised."""
    with among(3, tmp_path) as desk:
        here = desk.north.add("account", name="Nordwind", city="Kiel")
        desk.sync()
        lease = desk.store.take_lease("upgrade", 60)
        bare = [Keyed(ref=one.row.ref, parts=()) for one in desk.store.unlinked("left", "account")]
        desk.store.apply(Batch(keyed=bare, meta={"match_keys:account": ""}), lease=lease)
        twin = desk.south.add("account", name="Nordwind", city="Kiel")
        desk.sync()
        assert desk.partner("left", "account", here) == twin


def test_what_nobody_has_looked_at_is_looked_at_by_the_next_cycle(tmp_path: Path) -> None:
    with among(2, tmp_path) as desk:
        here = desk.north.add("account", name="Nordwind", city="Kiel")
        desk.sync()
        lease = desk.store.take_lease("somebody", 60)
        ref = Ref(side="left", entity="account", id=here)
        desk.store.apply(Batch(keyed=[Keyed(ref=ref, parts=[UNREAD])]), lease=lease)
        seen = [one.row.ref.id for one in index_of(desk, "account").not_on_file("left")]
        assert seen == [here]
        desk.sync()
        assert list(index_of(desk, "account").not_on_file("left")) == []
        found = desk.store.key_holders("left", "account", parts(desk, "account", name="Nordwind", city="Kiel"))
        assert list(found.values()) == [[here]]


def test_keys_of_nothing_but_links_and_amounts_are_looked_up_among_all(tmp_path: Path) -> None:
    texts = {"contact.yaml": MAPPINGS["contact.yaml"].replace("[email, last_name], ", "[account], ")}
    with bench(f"sqlite:///{tmp_path}/state.sqlite3", mappings=texts) as desk:
        _, there = desk.deal_pair()
        account = desk.must(there, "opportunity", "right")
        customers = {side: desk.crm(side).live("account")[0].id for side in SIDES}
        assert account
        assert not index_of(desk, "contact").is_good
        twin = desk.south.add("contact", last_name="Ashby", account_id=customers["right"])
        desk.sync()
        here = desk.north.add("contact", last_name="Boxer", account_id=customers["left"])
        desk.sync()
        assert desk.partner("left", "contact", here) == twin

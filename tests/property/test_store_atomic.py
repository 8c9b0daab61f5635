"""An apply that is interrupted anywhere leaves nothing; one that is not leaves all of it."""

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event, select

from crmbridge import crashpoint
from crmbridge.model import Link
from crmbridge.state import schema
from crmbridge.state.store import Store
from crmbridge.state.words import Batch, ConversionRow, Intent, Issue
from tests.support.rows import Lead, left

ids = st.lists(st.sampled_from("abcdef"), unique=True)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    return Batch(
        rows=[left.row(id_, draw(st.sampled_from("123")), extras={"role": {f"r{id_}": {}}}) for id_ in draw(ids)],
        clean=[(left.ref(id_), draw(st.sampled_from([None, "1"]))) for id_ in draw(ids)],
        dirty=[left.ref(id_) for id_ in draw(ids)],
        touched=[left.ref(id_) for id_ in draw(ids)],
        links=[Link(id=f"L{id_}", entity="lead", left_id=id_, right_id=None) for id_ in draw(ids)],
        open_intents=[
            Intent(id=f"i{id_}", run_id="r", side="left", entity="lead", kind="update", link_id=None, native_id=id_)
            for id_ in draw(ids)
        ],
        conversions=[
            ConversionRow(lead_link=f"L{id_}", epoch=0, case="C1", from_side="left", state="called")
            for id_ in draw(ids)
        ],
        issues=[
            Issue(kind="failed", cause="x", entity="lead", link_id=None, side="left", native_id=id_)
            for id_ in draw(ids)
        ],
        close_issues=[("lead", None, "left", id_, None) for id_ in draw(ids)],
    )


class Cut(Exception):
    pass


@contextmanager
def cut_at(store: Store, number: int) -> Iterator[list[int]]:
    """Raise at the n-th statement or commit; the list tells how many there were."""
    count = [0]

    def step(*_: Any) -> None:
        count[0] += 1
        if count[0] == number:
            raise Cut

    engine = store._database.engine  # pyright: ignore[reportPrivateUsage]
    event.listen(engine, "before_cursor_execute", step)
    crashpoint.install(lambda place: step() if place.startswith("commit ") else None)
    try:
        yield count
    finally:
        crashpoint.install(None)
        event.remove(engine, "before_cursor_execute", step)


def content(store: Store) -> dict[str, list[Any]]:
    with store._database.reading() as connection:  # pyright: ignore[reportPrivateUsage]
        return {
            table.name: sorted(map(repr, connection.execute(select(table))))
            for table in schema.metadata.tables.values()
        }


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store, to be copied: making one takes longer than trying one example."""
    file = tmp_path_factory.mktemp("template") / "s.sqlite3"
    Store.open(f"sqlite:///{file}").close()
    return file


def _copy(template: Path, folder: Path) -> Store:
    shutil.copy(template, folder / "s.sqlite3")
    return Store.open(f"sqlite:///{folder}/s.sqlite3", row_types={("left", "lead"): Lead})


@given(before=batches(), batch=batches(), where=st.integers(min_value=1, max_value=40))
@settings(max_examples=60, deadline=None)
def test_an_interrupted_apply_leaves_nothing(template: Path, before: Batch, batch: Batch, where: int) -> None:
    with TemporaryDirectory() as folder, closing(_copy(template, Path(folder))) as store:
        lease = store.take_lease("run", 600)
        store.apply(before, lease=lease)
        old = content(store)
        with cut_at(store, where) as count:
            try:
                store.apply(batch, lease=lease)
            except Cut:
                assert count[0] == where
                cut = True
            else:
                cut = False
        if cut:
            assert content(store) == old
            store.apply(batch, lease=lease)  # and may be done again
        applied = content(store)
        assert all(any(f"'L{id_}'" in line for line in applied["link"]) for id_ in {one.left_id for one in batch.links})
        assert len(store.open_intents()) == len({one.id for one in (*before.open_intents, *batch.open_intents)})


@pytest.mark.parametrize("full", [False, True])
def test_an_interrupted_page_keeps_rows_and_cursor_together(tmp_path: Path, full: bool) -> None:
    with closing(Store.open(f"sqlite:///{tmp_path}/s.sqlite3")) as store:
        store.save_page("left", "lead", left.page(left.row("a"), left.row("b"), cursor="old"))
        page = left.page(left.row("a", "2"), left.row("c"), cursor="new", full=full)
        old, number = content(store), 0
        while True:
            number += 1
            with cut_at(store, number):
                try:
                    store.save_page("left", "lead", page)
                    break
                except Cut:
                    pass
            assert content(store) == old
            assert store.cursor("left", "lead") == "old"
        assert number > 5
        assert store.cursor("left", "lead") == "new"

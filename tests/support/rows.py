"""Short ways to say rows, pages and links in tests of the store."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from connectors.base import Page
from crmbridge.model import Entity, Ref, Row, Satellite, Side

DAY = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)


class Lead(msgspec.Struct, rename={"etag": "@odata.etag"}):
    last_name: str | None = None
    amount: Decimal | None = None
    seen: datetime | None = None
    etag: str | None = None


@dataclass(frozen=True)
class Made:
    """Rows of one place."""

    side: Side = "left"
    entity: Entity = "lead"
    extra: Mapping[str, Any] = field(default_factory=dict)

    def ref(self, id_: str) -> Ref:
        return Ref(side=self.side, entity=self.entity, id=id_)

    def row(self, id_: str, version: str = "1", **more: Any) -> Row:
        known: dict[str, Any] = {"created_at": DAY, "modified_at": DAY, "values": Lead(last_name=f"name {id_}")}
        return Row(ref=self.ref(id_), version=version, **known | more)

    def gone(self, id_: str) -> Row:
        """As a delta tells it: only the id."""
        return Row(ref=self.ref(id_), version="", created_at=None, modified_at=None, deleted=True)

    def page(self, *rows: Row, cursor: str = "c", satellites: tuple[Satellite, ...] = (), **more: Any) -> Page:
        return Page(rows=rows, satellites=satellites, cursor=cursor, **more)


left = Made()
right = Made(side="right")


def plain_row(side: Side, entity: Entity, id: str, **values: Any) -> Row:
    """What a CRM told of these columns, and nothing else of it."""
    struct = msgspec.defstruct("Values", [(name, type(value)) for name, value in values.items()])
    ref = Ref(side=side, entity=entity, id=id)
    return Row(ref=ref, version="1", created_at=None, modified_at=None, values=struct(**values))

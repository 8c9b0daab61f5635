"""The same leads by the mapping: pages decoded to its struct, each struct read by its compiled function."""

from datetime import datetime
from typing import Any, Final

import msgspec

import mapping
from benchmarks.mapping.leads import DIRECTORIES, STATUSES, compiled
from crmbridge.model import Life, Shared

_BESIDE: Final[dict[str, Any]] = {"Id": str, "CreatedDate": datetime, "Status": str}  # what the connector reads too


class Ours:
    def __init__(self, *, more: bool) -> None:
        self.lead = compiled(more)
        self._row: Any = mapping.row_struct("Lead", {**_BESIDE, **self.lead.columns("left")})
        page = msgspec.defstruct("Page", [("records", list[self._row])])
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(page)
        self._facts = mapping.Facts(directory=DIRECTORIES)
        # A record's place in its life is the connector's to tell; here one for each status.
        self._lives = {native: Life(status=native) for _, native, _ in STATUSES.values()}

    def decode(self, body: bytes) -> list[Any]:
        return self._decoder.decode(body).records

    def read(self, body: bytes) -> list[Shared]:
        read, facts, lives = self.lead.read, self._facts, self._lives
        return [
            read("left", values, lives[values.Status], facts, created_at=values.CreatedDate)
            for values in self._decoder.decode(body).records
        ]

    def read_dicts(self, rows: list[dict[str, Any]]) -> list[Shared]:
        read, facts, lives = self.lead.read, self._facts, self._lives
        return [
            read("left", values, lives[values.Status], facts, created_at=values.CreatedDate)
            for values in msgspec.convert(rows, list[self._row])
        ]

    def write(self, records: list[Shared]) -> list[mapping.Put]:
        put, facts = self.lead.put, self._facts
        return [
            put("right", record.fields, facts=facts, current=None, life=None, state="open", whole=record)
            for record in records
        ]

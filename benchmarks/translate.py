"""Rows a second through the shipped lead mapping: page bytes -> structs -> shared records -> columns to write.

    python benchmarks/translate.py [ROWS]

Without metadata of an org, so Dynamics' labels stand for themselves. Prints one line per step, best of three.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

import mapping
from crmbridge.model import Directory, Life, Ref, Row

MAPPINGS = Path(__file__).parents[1] / "config" / "mappings"


def page(rows: int) -> bytes:
    record = {
        "FirstName": "Bertha", "LastName": "Boxer", "Salutation": "Ms.", "Title": "Director of Vendor Relations",
        "Company": "Farmers Coop. of Florida", "Email": "bertha@fcof.example", "Phone": "(850) 644-4200",
        "MobilePhone": "(850) 644-4201", "Fax": None, "Website": "https://fcof.example",
        "Street": "321 Westcott Building", "City": "Tallahassee",
        "State": "FL", "PostalCode": "32306", "Country": "USA", "LeadSource": "Web",
        "Industry": "Agriculture", "Rating": "Hot", "AnnualRevenue": 900750000.0, "NumberOfEmployees": 130,
        "Description": None, "OwnerId": "005000000000001AAA",
    }  # fmt: skip
    return msgspec.json.encode([{**record, "LastName": f"Boxer {n}"} for n in range(rows)])


def best(step: Callable[[], object], rows: int, name: str) -> None:
    times: list[float] = []
    for _ in range(3):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    print(f"{name:8} {rows / min(times):>10,.0f} rows/s")


def main(rows: int) -> None:
    documents, problems = mapping.load(MAPPINGS)
    assert not problems
    lead = mapping.compile(documents).entities["lead"]
    decoder = msgspec.json.Decoder(list[mapping.row_struct("Lead", lead.columns("left"))])  # type: ignore[misc]
    facts = mapping.Facts(
        directory={
            "left": Directory(users={"005000000000001AAA": "ann@x.org"}),
            "right": Directory(user_ids={"ann@x.org": "u-a"}, currencies={"c-usd": "USD"}),
        }
    )
    raw = page(rows)
    values: list[Any] = decoder.decode(raw)
    ref = Ref(side="left", entity="lead", id="00Q")
    records = [Row(ref=ref, version="1", created_at=None, modified_at=None, values=v) for v in values]
    life = Life(status="Working - Contacted")
    shared = [lead.get("left", row, life, facts) for row in records]
    best(lambda: decoder.decode(raw), rows, "decode")
    best(lambda: [lead.get("left", row, life, facts) for row in records], rows, "get")
    best(
        lambda: [
            lead.put("right", s.fields, facts=facts, current=None, life=None, state="open", whole=s) for s in shared
        ],
        rows,
        "put",
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)

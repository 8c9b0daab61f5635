"""Recorded exchanges with real Salesforce orgs: what each one is, and which of them are of a kind that we send."""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from tests.support.material import DATA, lines

RECORDINGS = sorted(DATA.glob("sf-recorded-*/exchanges.jsonl.gz"))

# What was recorded and we never send, with the reason: (how many, why).
NOT_OURS = {
    "Bulk API 1.0 job": "we load by collections",
    "upsert": "an upsert overwrites a person's edit when it is repeated (reliability §4)",
    "delete": "deletions are never carried over",
    "one row": "rows are read and written by the list",
    "resource list": "paths are fixed",
    "identity by link": "userinfo tells the same",
    "global describe": "only the four objects are described",
    "record counts": "counts come from the rows themselves",
    "aggregate query": "only `check --live` counts",
    "composite of reads by query": "ours holds updates, or reads by id",
}


def exchanges() -> Iterator[dict[str, Any]]:
    for path in RECORDINGS:
        yield from lines(path)


def kind_of(exchange: dict[str, Any]) -> str:
    request, answer = exchange["request"], exchange["response"]
    method, path = request["method"], urlsplit(request["url"].replace("<", "").replace(">", "")).path.rstrip("/")
    for pattern, methods, kind in (
        (r"/services/oauth2/token", "POST", "token"),
        (r"/services/Soap/u/[\d.]+", "POST", "login"),
        (r"/services/async/.*", "GET POST", "Bulk API 1.0 job"),
        (r"/id/\w+/\w+", "GET", "identity by link"),
        (r".*/composite/sobjects/\w+/\w+", "PATCH", "upsert"),
        (r".*/sobjects/\w+/\w+__c/.*", "PATCH", "upsert"),
        (r".*/composite/sobjects", "DELETE", "delete"),
        (r".*/composite/sobjects", "POST PATCH", "collection"),
        (r".*/composite", "POST", "composite of reads by query"),
        (r".*/limits/recordCount", "GET", "record counts"),
        (r".*/sobjects/\w+/describe", "GET", "describe"),
        (r".*/sobjects", "GET", "global describe"),
        (r".*/sobjects/\w+/\w+", "DELETE", "delete"),
        (r".*/sobjects/\w+(/\w+)?", "GET POST PATCH", "one row"),
        (r"/services/data/[\w.]+", "GET", "resource list"),
    ):
        if re.fullmatch(pattern, path) and method in methods.split():
            return kind
    assert re.fullmatch(r".*/query", path), f"{method} {path}"
    records = answer["body"].get("records", [])
    return "aggregate query" if any("expr0" in each or "Id" not in each for each in records) else "query"


def body_of(exchange: dict[str, Any]) -> bytes:
    body = exchange["response"]["body"]
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()

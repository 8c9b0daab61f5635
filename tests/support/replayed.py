"""Recorded exchanges sent again, in order, to an org of the sandbox, and its answers held against the recorded ones.

Ids, tokens, hosts and versions of a request are filled in with what the sandbox itself answered before.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from io import StringIO
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit
from xml.etree import ElementTree

from crmbridge.sandbox.salesforce.shape import load_shape
from tests.support.recorded_org import (
    Exchange,
    Recording,
    address_of_user,
    asked_of,
    is_global,
    record_types_read,
    records_of,
    shape_of,
)
from tests.support.replay_rules import VERSIONED, Comparison, Names
from tests.support.salesforce_org import Bench, bench

# The client of `sf-recorded-sync` asks for this one unless it is told otherwise; its describe has that version's keys.
SYNC_VERSION: Final = "29.0"
LATEST: Final = "60.0"  # for recordings whose version was taken out and whose answers name none
_PAUSE: Final = timedelta(seconds=1)  # between two requests


@dataclass(frozen=True, kw_only=True)
class Replayed:
    recording: str
    n: int
    what: str
    differences: tuple[str, ...]
    used: Counter[str]


# What went on in a recorded org between two recorded exchanges and is not among them: (recording, n of the exchange
# that shows it): objects whose rows were all deleted by then.
EMPTIED: Final[dict[tuple[str, int], tuple[str, ...]]] = {
    ("TestDatasetsE2E.test_datasets_e2e.yaml", 5): ("Account",),
}


def replay(recording: Recording) -> list[Replayed]:
    shape, records = shape_of(recording), records_of(recording)
    organization = records.pop("Organization", [])
    org = bench(shape, records)
    names = Names()
    for rows in records.values():
        for row in rows:
            if "Id" in row:
                names.same(row["Id"], row["Id"])
    for row in organization:  # the org's own row, whose id is the sandbox's
        own = org.app.credentials["org_id"]
        names.ours[row["Id"][:15]], names.theirs[own[:15]] = own[:15], row["Id"][:15]
        org.app.load({"Organization": [{**row, "Id": own}]})
    if seen := address_of_user(recording):
        (user,) = [row for row in org.app.dump()["User"] if row["Username"] == org.app.credentials["username"]]
        known = {name: value for name, value in user.items() if value is not None}
        org.app.load({"User": [{**known, **seen}]})
    bodies = [each["response"]["body"] for each in recording.exchanges]
    described = frozenset(body["name"] for body in bodies if isinstance(body, dict) and "fields" in body)
    declared = frozenset([*load_shape().objects, *shape["objects"]])
    return [_again(recording, each, org, names, declared, described) for each in recording.exchanges]


def _again(
    recording: Recording,
    exchange: Exchange,
    org: Bench,
    names: Names,
    declared: frozenset[str],
    described: frozenset[str],
) -> Replayed:
    for name in EMPTIED.get((recording.name.rpartition("/")[2], exchange["n"]), ()):
        for row in org.rows(f"SELECT Id FROM {name}"):
            assert org.rest("DELETE", f"sobjects/{name}/{row['Id']}").status == 204
    method, path, headers, body = _request(exchange, org, names)
    org.times[0] += _PAUSE
    reply = org.send(method, path, body, headers)
    told, ours = exchange["response"], {name.lower(): value for name, value in reply.headers}
    comparison = Comparison(
        names=names,
        declared=declared,
        recorded_objects=described,
        ordered="order by" in asked_of(exchange).lower(),
        own_types=bool(record_types_read(recording)),
        elsewhere=exchange["response"]["elsewhere"],
    )
    found: list[str] = []
    if reply.status != told["status"]:
        found.append(f"status: recorded {told['status']}, answered {reply.status} {reply.body[:200].decode()}")
    else:
        found += _headers(recording, told["headers"], ours, comparison)
        kind = ours.get("content-type", "").partition(";")[0]
        found += comparison.differences("body", _parsed(told["body"], kind), _parsed(reply.body.decode(), kind))
    login = re.search(rb"<sessionId>([^<]*)<", reply.body) or re.search(rb'"access_token":"([^"]*)"', reply.body)
    if login:
        org.token = login[1].decode()
    what = f"{method} {VERSIONED.sub('v', unquote(urlsplit(exchange['request']['url']).path))}"
    return Replayed(
        recording=str(recording), n=exchange["n"], what=what, differences=tuple(found), used=comparison.used
    )


def _request(exchange: Exchange, org: Bench, names: Names) -> tuple[str, str, dict[str, str], bytes]:
    """The recorded request with the sandbox's ids, secrets and a version in place of the recorded ones."""
    sent = exchange["request"]
    parts = urlsplit(sent["url"].replace("<host>", "host").replace("<api_version>", f"v{SYNC_VERSION}"))
    path = names.fill(parts.path.replace("vxx.0", f"v{_version(exchange)}"))
    if path.startswith("/services/async/"):
        path = path.replace("/v", "/", 1)
    options = parse_qsl(parts.query, keep_blank_values=True)
    query = urlencode([(name, names.fill(value)) for name, value in options], quote_via=quote)
    headers = {"content-type": "application/json", "authorization": f"Bearer {org.token}"}
    headers |= {name: value for name, value in sent["headers"].items() if name in ("accept", "content-type")}
    body = sent["body"]
    if path == "/services/oauth2/token":
        form = dict(pair.split("=", 1) for pair in body.split("&"))
        known = org.app.credentials
        form |= {key: known[key] for key in form if key in known}
        form["password"] = known["password"] + known["security_token"]
        return sent["method"], path, {"content-type": headers["content-type"]}, urlencode(form).encode()
    if path.startswith("/services/Soap/"):
        known = org.app.credentials
        text = re.sub(r"(?<=<username>)[^<]*", known["username"], body)
        text = re.sub(r"(?<=<password>)[^<]*", known["password"] + known["security_token"], text)
        return sent["method"], path, {"content-type": "text/xml", "soapaction": '""'}, text.encode()
    if path.startswith("/services/async/"):
        text = names.fill(_unchunked(body or ""))
        kind = "application/xml; charset=UTF-8" if text.startswith("<") else "text/csv; charset=UTF-8"
        return sent["method"], path, {"content-type": kind, "x-sfdc-session": org.token}, text.encode()
    whole = f"{path}?{query}" if query else path
    text = "" if body is None else names.fill(json.dumps(body)).replace("/vxx.0/", f"/v{LATEST}/")
    return sent["method"], whole, headers, text.encode()


def _version(exchange: Exchange) -> str:
    """The version that the recorded answer itself names, else the latest."""
    body = exchange["response"]["body"]
    shown = body.get("urls", {}) if isinstance(body, dict) else {}
    if is_global(body):
        shown = body["sobjects"][0]["urls"]
    found = re.search(r"/v(\d\d\.0)/", shown.get("sobject", ""))
    return found[1] if found else LATEST


def _unchunked(text: str) -> str:
    """A body that was recorded in its transfer encoding, put together again."""
    if not re.match(r"[0-9a-f]+\r\n", text):
        return text
    whole, rest = "", text
    while rest:
        size, _, rest = rest.partition("\r\n")
        whole, rest = whole + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        if int(size, 16) == 0:
            break
    return whole


def _headers(recording: Recording, told: dict[str, str], ours: dict[str, str], comparison: Comparison) -> Iterator[str]:
    """Those that a client goes by. `sf-recorded-rest` kept the content type alone."""
    kind = told.get("content-type", "")
    if "response-headers" in told:
        kind = re.findall(r"'Content-Type': \['([^']*)'", told["response-headers"])[0]
    if kind.replace(" ", "").lower() != ours.get("content-type", "").replace(" ", "").lower():
        yield f"content-type: recorded {kind!r}, answered {ours.get('content-type', '')!r}"
    if recording.folder == "sf-recorded-rest":
        return
    for name in ("sforce-limit-info", "location", "etag", "last-modified"):
        if (name in told) != (name in ours):
            yield f"{name}: recorded {told.get(name)!r}, answered {ours.get(name)!r}"
    if "location" in told and "location" in ours:
        yield from comparison.differences("location", told["location"], ours["location"])
    usage = r"api-usage=\d+/\d+"
    if "sforce-limit-info" in told and not re.fullmatch(usage, ours.get("sforce-limit-info", "")):
        yield f"sforce-limit-info: {ours.get('sforce-limit-info')!r}"


def _parsed(body: Any, kind: str) -> Any:
    """JSON, XML and CSV as one kind of tree; element names of XML stand in their order."""
    if not isinstance(body, str):
        return body
    if not body:
        return None
    if kind == "application/json":
        return json.loads(body)
    if kind in ("text/xml", "application/xml"):
        return _tree(ElementTree.fromstring(body))
    if kind == "text/csv":
        return list(csv.reader(StringIO(body)))
    return body


def _tree(element: ElementTree.Element) -> Any:
    if not len(element):
        text = (element.text or "").strip() or None
        return {"tag": element.tag, "attributes": dict(element.attrib), element.tag.rpartition("}")[2]: text}
    return {"tag": element.tag, "attributes": dict(element.attrib), "children": [_tree(each) for each in element]}

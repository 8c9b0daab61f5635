"""Recorded exchanges sent again, in order, to an org of the sandbox, and its answers held against the recorded ones.

The org is built from the recording alone: objects, fields and picklists as its describes and reads show them, and the
rows that are read before anybody made them. Ids, tokens, hosts and versions are filled in with what the sandbox itself
answered. What may differ stands in `RULES`, each with its reason; whatever no rule speaks of is a difference.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import timedelta
from io import StringIO
from typing import Any, Final
from urllib.parse import parse_qs, parse_qsl, quote, unquote, urlencode, urlsplit
from xml.etree import ElementTree

from crmbridge.sandbox.salesforce.shape import load_shape
from tests.support.material import document, folder
from tests.support.recorded import RECORDINGS
from tests.support.material import lines
from tests.support.salesforce_org import ORIGIN, Bench, bench

Exchange = dict[str, Any]

# The client of `sf-recorded-sync` asks for this one unless it is told otherwise; its describe has that version's keys.
SYNC_VERSION: Final = "29.0"
LATEST: Final = "60.0"  # for recordings whose version was taken out and whose answers name none
ID: Final = re.compile(r"[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?")
IN_URL: Final = re.compile(r"(?<=/)[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?(?=[/?]|$)")
STAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|\+0000)")
VERSIONED: Final = re.compile(r"v?(?:\d\d|xx)\.0|<api_version>")
_PAUSE: Final = timedelta(seconds=1)  # between two requests
HOST: Final = re.compile(r"https://[^/]+")


# --- the material ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Recording:
    folder: str
    name: str
    exchanges: tuple[Exchange, ...]

    def __str__(self) -> str:
        return f"{self.folder}:{self.name.rpartition('/')[2]}"


def recordings() -> list[Recording]:
    """All of them; answers kept elsewhere ("same as", shared file) are put in their place."""
    found: list[Recording] = []
    for path in RECORDINGS:
        told = list(lines(path))
        kept = {(each["recording"], each["n"]): each for each in told}
        by_name: dict[str, list[Exchange]] = {}
        for each in told:
            body = each["response"]["body"]
            each["response"]["body"] = _resolved(body, kept)
            each["response"]["elsewhere"] = each["response"]["body"] is not body
            by_name.setdefault(each["recording"], []).append(each)
        found += [Recording(folder=path.parent.name, name=name, exchanges=tuple(all_)) for name, all_ in by_name.items()]
    return found


def _resolved(body: Any, kept: Mapping[tuple[str, int], Exchange]) -> Any:
    if isinstance(body, dict) and set(body) == {"same_as"}:
        return kept[body["same_as"]["recording"], body["same_as"]["n"]]["response"]["body"]
    if isinstance(body, dict) and set(body) == {"shared_file"}:
        name = body["shared_file"].removeprefix("GET_sobjects_").removesuffix(".yaml")
        return document(folder("sf-describe") / f"{name}.json.gz")
    return body


# --- the org that a recording shows ---------------------------------------------------------------------------------


def shape_of(recording: Recording) -> dict[str, Any]:
    """What its describes and reads say of the org; the rest is the shipped shape's."""
    bodies = [each["response"]["body"] for each in recording.exchanges]
    describes = {body["name"]: body for body in bodies if isinstance(body, dict) and "fields" in body}
    objects: dict[str, Any] = {}
    for body in bodies:
        for each in body["sobjects"] if _is_global(body) else ():
            objects[each["name"]] = {key: value for key, value in each.items() if key != "name"}
    for name, told in describes.items():
        objects[name] = {key: value for key, value in told.items() if key not in ("fields", "recordTypeInfos")}
        objects[name] |= {
            "standardFields": [],
            "fields": [_field(name, each, describes) for each in told["fields"]],
            "recordTypes": _record_types(told["recordTypeInfos"]),
        }
    for name in _touched(recording) - objects.keys() - load_shape().objects.keys():
        told = _told_elsewhere(recording.folder, name)
        objects[name] = {key: value for key, value in told.items() if key not in ("fields", "recordTypeInfos")}
        objects[name] |= {"standardFields": [], "fields": [_field(name, each, {}) for each in told["fields"]]}
    for (name, column), default in DEFAULTS_READ.items():
        for each in objects.get(name, {}).get("fields", ()):
            if each["name"] == column:
                each["defaultValue"] = default
    for name, shown in _whole_rows(recording).items():
        if "fields" in objects.get(name, {}) and _kept_elsewhere(recording, name):
            objects[name]["fields"] = [each for each in objects[name]["fields"] if each["name"] in shown]
    for parent, told in describes.items():
        _with_children(objects, parent, told["childRelationships"], describes.keys())
    for name, shown in _record_types_read(recording).items():
        objects.setdefault(name, {})["recordTypes"] = shown  # what this very org told wins over a shared file
    for key, row in _rows_read(recording):
        if key[0] == "Organization":
            fields = {name: {"type": _type(name, value)} for name, value in row.items() if name not in ("Id", "Name")}
            objects["Organization"] = {**objects.get("Organization", {}), "fields": fields}
    if _address_of_user(recording):
        fields = objects.setdefault("User", {}).setdefault("fields", {})
        fields |= {name: {"type": "string", "length": 80} for name in _address_of_user(recording)}
    return {"org": _org(recording), "objects": objects}


def _address_of_user(recording: Recording) -> dict[str, str]:
    """What an identity page shows of the caller beside the names."""
    names = {"addr_street": "Street", "addr_city": "City", "addr_state": "State"}
    names |= {"addr_country": "Country", "addr_zip": "PostalCode", "mobile_phone": "MobilePhone"}
    pages = [body for each in recording.exchanges if "addr_zip" in (body := each["response"]["body"] or {})]
    return {ours: page[told] for page in pages for told, ours in names.items() if page[told]}


# A checkbox's default, which no description of v29 tells: a row saved without it is found by `Visible__c = TRUE`.
DEFAULTS_READ: Final = {("CustomObject__c", "Visible__c"): True}


def _touched(recording: Recording) -> set[str]:
    """Objects that requests name in their path."""
    return {name for each in recording.exchanges if (name := _table(each))}


def _told_elsewhere(folder_name: str, name: str) -> dict[str, Any]:
    """An object that this recording uses and only others of the same org describe."""
    path = next(each for each in RECORDINGS if each.parent.name == folder_name)
    bodies = [each["response"]["body"] for each in lines(path)]
    return next(body for body in bodies if isinstance(body, dict) and "fields" in body and body["name"] == name)


def _is_global(body: Any) -> bool:
    return isinstance(body, dict) and "sobjects" in body and isinstance(body["sobjects"], list)


def _field(name: str, told: dict[str, Any], describes: Mapping[str, Any]) -> dict[str, Any]:
    """A described field, with the child relationship that its parents' descriptions show."""
    shipped = load_shape().object(name)
    known = shipped.fields.get(told["name"]) if shipped else None
    given = dict(told)
    if told["referenceTo"]:
        if known is not None:
            given["childRelationshipName"] = known.child_relationship_name
            given["deletedWithParent"] = known.deleted_with_parent
        for parent in told["referenceTo"]:
            for child in describes.get(parent, {}).get("childRelationships", ()):
                if (child["childSObject"], child["field"]) == (name, told["name"]):
                    given["childRelationshipName"] = child["relationshipName"]
                    given["deletedWithParent"] = child["cascadeDelete"]
    return given


def _whole_rows(recording: Recording) -> dict[str, AbstractSet[str]]:
    """The columns of rows that were read with all of them."""
    bodies = [each["response"]["body"] for each in recording.exchanges]
    return {body["attributes"]["type"]: body.keys() for body in bodies if isinstance(body, dict) and "attributes" in body}


def _kept_elsewhere(recording: Recording, name: str) -> bool:
    """The description stands in another recording, of another day: this one's own rows tell which columns there are."""
    return any(
        each["response"].get("elsewhere") and each["response"]["body"].get("name") == name
        for each in recording.exchanges
    )


def _with_children(
    objects: dict[str, Any], parent: str, children: list[dict[str, Any]], described: AbstractSet[str]
) -> None:
    """Lookups that only the parent's description shows, at objects that the shipped shape has."""
    for child in children:
        name, shipped = child["childSObject"], load_shape().object(child["childSObject"])
        if name in described or not (shipped or name in objects):
            continue
        known = shipped.fields.get(child["field"]) if shipped else None
        if known is None:
            fields = objects.setdefault(name, {}).setdefault("fields", {})
            fields[child["field"]] = {"type": "reference", "referenceTo": [parent]} | {
                "childRelationshipName": child["relationshipName"],
                "deletedWithParent": child["cascadeDelete"],
                "restrictedDelete": child["restrictedDelete"],
            }
        elif parent not in known.reference_to:
            fields = objects.setdefault(name, {}).setdefault("fields", {})
            fields[child["field"]] = {"referenceTo": [*known.reference_to, parent]} | {
                "childRelationshipName": child["relationshipName"]
            }


def _record_types(infos: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"developerName": each["developerName"], "name": each["name"], "active": each["active"]}
        | {"default": each["defaultRecordTypeMapping"]}
        for each in infos
        if not each.get("master", each["name"] == "Master")
    ]


def _record_types_read(recording: Recording) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for each in recording.exchanges:
        asked = re.search(r"FROM RecordType WHERE SObjectType='(\w+)'", _asked(each))
        if asked:
            found[asked[1]] = [
                {"developerName": row["DeveloperName"]} for row in each["response"]["body"]["records"]
            ]
    return found


def _asked(exchange: Exchange) -> str:
    return "".join(parse_qs(urlsplit(exchange["request"]["url"]).query).get("q", []))


def _type(name: str, value: Any) -> str:
    if isinstance(value, dict) or name == "Address":
        return "address"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "int"
    if isinstance(value, str) and STAMP.fullmatch(value):
        return "datetime"
    return "reference" if name.endswith("ById") else "string"


def _org(recording: Recording) -> dict[str, Any]:
    """The set-up that logins show."""
    told = " ".join(body for each in recording.exchanges if isinstance(body := each["response"]["body"], str))
    names = {"organizationName": "name", "orgDefaultCurrencyIsoCode": "currency", "userTimeZone": "time_zone"}
    found = {key: re.search(f"<{name}>([^<]*)<", told) for name, key in names.items()}
    zones = [body["timezone"] for each in recording.exchanges if "timezone" in (body := each["response"]["body"] or {})]
    told_org = {key: match[1] for key, match in found.items() if match} | {"time_zone": zone for zone in zones}
    return {**told_org, "bulk_seconds": 1.5}  # a batch is under way at the next request, and done at the one after


def records_of(recording: Recording) -> dict[str, list[dict[str, Any]]]:
    """The rows that its reads show before anybody in it made them, and as many nameless ones as its counts want."""
    born: set[str] = set()
    seeds: dict[tuple[str, str], dict[str, Any]] = {}
    wanted: Counter[str] = Counter()
    alive: Counter[str] = Counter()
    for each in recording.exchanges:
        for key, row in _rows_of(each["response"]["body"]):
            if key[1] not in born and key[0] not in ("RecordType", "User"):
                seeds[key] = {**row, **seeds.get(key, {})}
        for name, count in _counts(each):
            wanted[name] = max(wanted[name], count - alive[name])
        for made in _made(each):
            born.add(made)
            alive[_table(each)] += 1
    found: dict[str, list[dict[str, Any]]] = {}
    for (name, key), row in seeds.items():
        plain = {column: value for column, value in row.items() if not isinstance(value, (dict, type(None)))}
        plain = {column: value for column, value in plain.items() if column not in _PEOPLE}
        found.setdefault(name, []).append({**plain, "Id": key})
    for name, count in wanted.items():
        found.setdefault(name, []).extend({} for _ in range(count - len(found.get(name, []))))
    return found


_PEOPLE: Final = ("OwnerId", "CreatedById", "LastModifiedById")  # the sandbox's own user


def _rows_read(recording: Recording) -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
    for each in recording.exchanges:
        yield from _rows_of(each["response"]["body"])


def _rows_of(body: Any) -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
    """((object, id), fields) of each row that an answer shows, those inside of composites and of rows too."""
    if isinstance(body, list):
        for each in body:
            yield from _rows_of(each)
    if not isinstance(body, dict):
        return
    attributes = body.get("attributes")
    if isinstance(attributes, dict) and "url" in attributes:
        shown = {key: value for key, value in body.items() if key != "attributes"}
        nested = [key for key, value in shown.items() if isinstance(value, dict) and "records" in value]
        yield (attributes["type"], attributes["url"].rpartition("/")[2]), {
            key: value for key, value in shown.items() if key not in nested and key != "Id"
        }
    for key, value in body.items():
        if key not in ("fields", "sobjects", "childRelationships"):
            yield from _rows_of(value)


def _counts(exchange: Exchange) -> Iterator[tuple[str, int]]:
    body = exchange["response"]["body"]
    asked = re.search(r"count\((?:Id)?\) from (\w+)", _asked(exchange), re.IGNORECASE)
    if asked and "expr0" in body["records"][0]:
        yield asked[1], body["records"][0]["expr0"]
    sent = exchange["request"]["body"]
    if isinstance(sent, dict) and "compositeRequest" in sent:
        for part, answer in zip(sent["compositeRequest"], body["compositeResponse"], strict=True):
            asked = re.search(r"count\(\) from (\w+)", part["url"], re.IGNORECASE)
            if asked:
                yield asked[1], answer["body"]["totalSize"]


def _made(exchange: Exchange) -> Iterator[str]:
    """Ids of the rows that an exchange made."""
    method, body = exchange["request"]["method"], exchange["response"]["body"]
    if isinstance(body, str) and body.startswith('"Id"'):
        yield from (row["Id"] for row in csv.DictReader(StringIO(body)) if row["Created"] == "true")
    if method not in ("POST", "PATCH") or not isinstance(body, (dict, list)):
        return
    for each in body if isinstance(body, list) else [body]:
        if each.get("success") and each.get("created", method == "POST" or exchange["response"]["status"] == 201):
            yield each["id"]


def _table(exchange: Exchange) -> str:
    sent = exchange["request"]["body"]
    if isinstance(sent, dict) and "records" in sent:
        return sent["records"][0]["attributes"]["type"]
    found = re.search(r"/sobjects/(\w+)", exchange["request"]["url"])
    return found[1] if found else ""


# --- what may differ ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Rule:
    name: str
    reason: str
    holds: "Callable[[Names, str, Any, Any], bool]"  # names learnt, place in the answer, recorded, answered


@dataclass(kw_only=True)
class Names:
    """Which id of the sandbox stands for which recorded one; once learnt, they must stay together."""

    ours: dict[str, str] = field(default_factory=dict[str, str])
    theirs: dict[str, str] = field(default_factory=dict[str, str])

    def same(self, recorded: str, answered: str) -> bool:
        """Both are ids of one object, of the same length, and stand for each other wherever they stand."""
        alike = len(recorded) == len(answered) and (recorded[:3] == answered[:3] or "x" in recorded[:5])
        if not (alike and ID.fullmatch(recorded) and ID.fullmatch(answered)):
            return False
        known = self.ours.setdefault(recorded[:15], answered[:15]) == answered[:15]
        return known and self.theirs.setdefault(answered[:15], recorded[:15]) == recorded[:15]

    def fill(self, text: str) -> str:
        """A request's text with our ids; of the long form the suffix is asked for by nobody, so the short one does."""
        return re.sub(r"(?<![0-9A-Za-z])[0-9A-Za-z]{15,18}(?![0-9A-Za-z])", lambda match: self._ours(match[0]), text)

    def _ours(self, word: str) -> str:
        return self.ours.get(word[:15], word) if len(word) in (15, 18) and word[:15] in self.ours else word


def _is_id(names: Names, place: str, recorded: Any, answered: Any) -> bool:
    return isinstance(recorded, str) and isinstance(answered, str) and names.same(recorded, answered)


def _is_stamp(names: Names, place: str, recorded: Any, answered: Any) -> bool:
    if not (isinstance(recorded, str) and isinstance(answered, str)):
        return False
    one, other = STAMP.fullmatch(recorded), STAMP.fullmatch(answered)
    return bool(one and other and one[1] == other[1])


_ADDRESSES: Final = frozenset(
    "url location PhotoUrl nextRecordsUrl instance_url id identity serverUrl metadataServerUrl".split()
)


def _is_address(names: Names, place: str, recorded: Any, answered: Any) -> bool:
    """The same path; hosts and versions are the sandbox's own, ids stand for each other."""
    if not (isinstance(recorded, str) and isinstance(answered, str) and "/" in recorded):
        return False
    above, _, leaf = place.rpartition(".")
    if leaf not in _ADDRESSES and not above.endswith((".urls", ".photos")):
        return False  # a text of somebody's that happens to be an address
    mine, ours = (_plain_url(text) for text in (recorded, answered))
    one, other = IN_URL.findall(mine), IN_URL.findall(ours)
    if len(one) != len(other) or IN_URL.sub("<id>", mine) != IN_URL.sub("<id>", ours):
        return False
    return all(names.same(*pair) for pair in zip(one, other, strict=True))


def _plain_url(text: str) -> str:
    return VERSIONED.sub("<version>", HOST.sub("<host>", text.replace("<host>", "host")))


def _leaf(*wanted: str) -> "Callable[[Names, str, Any, Any], bool]":
    def holds(names: Names, place: str, recorded: Any, answered: Any) -> bool:
        return place.rpartition(".")[2] in wanted and type(recorded) is type(answered)

    return holds


def _is_version(names: Names, place: str, recorded: Any, answered: Any) -> bool:
    return place.endswith("apiVersion") and bool(VERSIONED.fullmatch(str(answered)))


_BUSY: Final = ("Queued", "InProgress", "Completed")
_COUNTED: Final = frozenset(
    "numberBatchesQueued numberBatchesInProgress numberBatchesCompleted numberRecordsProcessed totalProcessingTime "
    "apiActiveProcessingTime".split()
)


def _is_progress(names: Names, place: str, recorded: Any, answered: Any) -> bool:
    leaf = place.rpartition(".")[2]
    if leaf == "state":
        return recorded in _BUSY and answered in _BUSY
    return leaf in _COUNTED and str(recorded).isdecimal() and str(answered).isdecimal()


RULES: Final = (
    Rule(name="id", reason="each org gives its own; the same one stands for it everywhere", holds=_is_id),
    Rule(name="stamp", reason="the sandbox's clock; the form is compared", holds=_is_stamp),
    Rule(name="address", reason="host and version are the sandbox's; the path is compared", holds=_is_address),
    Rule(
        name="secret",
        reason="taken out of the recordings, or signed anew",
        holds=_leaf("sessionId", "access_token", "signature", "issued_at"),
    ),
    Rule(
        name="person",
        reason="who logs in is the sandbox's own user",
        holds=_leaf(
            *("userEmail", "userFullName", "userName", "username", "nick_name", "display_name", "email"),
            *("first_name", "last_name"),
        ),
    ),
    Rule(
        name="progress",
        reason="how far a bulk job is by the time it is asked for is the clock's matter; states and numbers are compared"
        " by form, and the results row by row",
        holds=_is_progress,
    ),
    Rule(name="version", reason="the version was taken out of the recording", holds=_is_version),
)


# Structural rules: what may be there beyond the recording, or be left out, each with its reason.
EXTRA_KEYS: Final[dict[str, tuple[str, str]]] = {
    "custom_domain": ("younger server", "domains of one's own came after 2015"),
    "sobjectDescribeOption": ("younger server", "a server of 2021 shows it in v42, servers before show it nowhere"),
}
# Lookups that a shared description has among its columns, and its parents' have not among their children: the file
# was edited by hand. (Such a child cannot be missing in an org.)
EDITED_BY_HAND: Final = {("Account", "ns__LinkedAccount__c"), ("Account", "Primary_Contact__c")}
LISTED: Final[dict[str, tuple[str, ...]]] = {  # lists whose order tells nothing, and what names an entry
    "fields": ("name",),
    "sobjects": ("name",),
    "childRelationships": ("childSObject", "field"),
}


@dataclass(kw_only=True)
class Comparison:
    names: Names
    declared: frozenset[str]  # objects of the sandbox's shape
    ordered: bool = True  # the query asked for an order
    used: Counter[str] = field(default_factory=Counter[str])

    def differences(self, place: str, recorded: Any, answered: Any) -> Iterator[str]:
        if isinstance(recorded, dict) and isinstance(answered, dict):
            yield from self._keys(place, recorded, answered)
        elif isinstance(recorded, list) and isinstance(answered, list):
            yield from self._lists(place, recorded, answered)
        elif type(recorded) is not type(answered) or recorded != answered:
            yield from self._values(place, recorded, answered)
        elif isinstance(recorded, str) and ID.fullmatch(recorded):
            self.names.same(recorded, answered)

    def _keys(self, place: str, recorded: dict[str, Any], answered: dict[str, Any]) -> Iterator[str]:
        for key in recorded.keys() - answered.keys():
            yield f"{place}: {key} is missing"
        for key in answered.keys() - recorded.keys():
            if key in EXTRA_KEYS:
                self.used[EXTRA_KEYS[key][0]] += 1
            else:
                yield f"{place}: {key} is too much"
        for key in recorded.keys() & answered.keys():
            yield from self.differences(f"{place}.{key}", recorded[key], answered[key])

    def _lists(self, place: str, recorded: list[Any], answered: list[Any]) -> Iterator[str]:
        kind = place.rpartition(".")[2]
        if kind in LISTED and all(isinstance(each, dict) for each in recorded):
            yield from self._named(place, kind, recorded, answered)
            return
        if len(recorded) != len(answered):
            yield f"{place}: {len(recorded)} recorded, {len(answered)} answered"
            return
        if kind == "records" and not self.ordered:
            answered = self._in_order(recorded, answered)
        for at, pair in enumerate(zip(recorded, answered, strict=True)):
            yield from self.differences(f"{place}[{at}]", *pair)

    def _in_order(self, recorded: list[Any], answered: list[Any]) -> list[Any]:
        """Rows of a query without ORDER BY come in any order; each is compared with its own."""

        def key(row: Any) -> str:
            return str(row.get("attributes", {}).get("url", "")).rpartition("/")[2][:15]

        by_key = {key(row): row for row in answered}
        wanted = [self.names.ours.get(key(row), "") for row in recorded]
        if len(by_key) != len(answered) or set(wanted) != by_key.keys() or wanted == [key(row) for row in answered]:
            return answered
        self.used["order"] += 1
        return [by_key[each] for each in wanted]

    def _named(self, place: str, kind: str, recorded: list[Any], answered: list[Any]) -> Iterator[str]:
        ours = {tuple(each[name] for name in LISTED[kind]): each for each in answered}
        theirs = {tuple(each[name] for name in LISTED[kind]): each for each in recorded}
        for key, each in theirs.items():
            where = f"{place}.{'.'.join(key)}"
            if key in ours:
                yield from self.differences(where, each, ours[key])
            elif kind == "childRelationships" and key[0] not in self.declared:
                self.used["undeclared"] += 1
            elif kind == "fields" and self.elsewhere and place == "body.fields":
                self.used["described elsewhere"] += 1
            else:
                yield f"{where} is missing"
        for key in ours.keys() - theirs.keys():
            if kind == "childRelationships" and key in EDITED_BY_HAND:
                self.used["edited by hand"] += 1
            elif kind == "fields" or (kind == "childRelationships" and key[0] in self.recorded_objects):
                yield f"{place}.{'.'.join(key)} is too much"
            else:
                self.used["other objects"] += 1

    recorded_objects: frozenset[str] = frozenset()  # objects that the recording itself describes
    own_types: bool = False  # the recording itself reads the record types, and others than the description shows
    elsewhere: bool = False  # the recorded answer is kept once for several recordings

    def _values(self, place: str, recorded: Any, answered: Any) -> Iterator[str]:
        plain = re.sub(r"\[\d+\]", "", place)
        if self.elsewhere and self.own_types and plain.startswith("body.recordTypeInfos"):
            if type(recorded) is type(answered):
                self.used["described elsewhere"] += 1
                return
        for rule in RULES:
            if rule.holds(self.names, plain, recorded, answered):
                self.used[rule.name] += 1
                return
        yield f"{place}: recorded {_short(recorded)}, answered {_short(answered)}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 120 else f"{text[:117]}..."


# --- sending again --------------------------------------------------------------------------------------------------


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
    if seen := _address_of_user(recording):
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
        ordered="order by" in _asked(exchange).lower(),
        own_types=bool(_record_types_read(recording)),
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
    return Replayed(recording=str(recording), n=exchange["n"], what=what, differences=tuple(found), used=comparison.used)


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
    if _is_global(body):
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

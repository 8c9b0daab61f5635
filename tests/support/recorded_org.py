"""The org that a recording shows: objects, fields, picklists, and the rows that it reads before it makes them.

All of it is worked out from the recording's own describes and reads, and given to the sandbox as data.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from io import StringIO
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from crmbridge.sandbox.salesforce.shape import load_shape
from tests.support.material import document, folder, lines
from tests.support.recorded import RECORDINGS

Exchange = dict[str, Any]

STAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|\+0000)")


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
        found += [
            Recording(folder=path.parent.name, name=name, exchanges=tuple(all_)) for name, all_ in by_name.items()
        ]
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
        for each in body["sobjects"] if is_global(body) else ():
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
    for name, shown in record_types_read(recording).items():
        objects.setdefault(name, {})["recordTypes"] = shown  # what this very org told wins over a shared file
    for key, row in _rows_read(recording):
        if key[0] == "Organization":
            fields = {name: {"type": _type(name, value)} for name, value in row.items() if name not in ("Id", "Name")}
            objects["Organization"] = {**objects.get("Organization", {}), "fields": fields}
    if address_of_user(recording):
        fields = objects.setdefault("User", {}).setdefault("fields", {})
        fields |= {name: {"type": "string", "length": 80} for name in address_of_user(recording)}
    return {"org": _org(recording), "objects": objects}


def address_of_user(recording: Recording) -> dict[str, str]:
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


def is_global(body: Any) -> bool:
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
    return {
        body["attributes"]["type"]: body.keys() for body in bodies if isinstance(body, dict) and "attributes" in body
    }


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


def record_types_read(recording: Recording) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for each in recording.exchanges:
        asked = re.search(r"FROM RecordType WHERE SObjectType='(\w+)'", asked_of(each))
        if asked:
            found[asked[1]] = [{"developerName": row["DeveloperName"]} for row in each["response"]["body"]["records"]]
    return found


def asked_of(exchange: Exchange) -> str:
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
    shown: dict[str, Any] = {key: match[1] for key, match in found.items() if match}
    for each in recording.exchanges:
        body = each["response"]["body"]
        if isinstance(body, dict) and "timezone" in body:
            shown["time_zone"] = body["timezone"]
    return {**shown, "bulk_seconds": 1.5}  # a batch is under way at the next request, and done at the one after


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
        yield (
            (attributes["type"], attributes["url"].rpartition("/")[2]),
            {key: value for key, value in shown.items() if key not in nested and key != "Id"},
        )
    for key, value in body.items():
        if key not in ("fields", "sobjects", "childRelationships"):
            yield from _rows_of(value)


def _counts(exchange: Exchange) -> Iterator[tuple[str, int]]:
    body = exchange["response"]["body"]
    asked = re.search(r"count\((?:Id)?\) from (\w+)", asked_of(exchange), re.IGNORECASE)
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

"""One operation as the service sees it: who asks, what was preferred, where rows live, and what it will answer with."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

import msgspec

from crmbridge.sandbox.core import Reply, Row, World
from crmbridge.sandbox.dynamics.errors import DataverseError, bad_payload, bad_query
from crmbridge.sandbox.dynamics.filters import Scope
from crmbridge.sandbox.dynamics.headers import NO_EFFECT_OPTIONS, bypasses_logic
from crmbridge.sandbox.dynamics.key_index import keys_of
from crmbridge.sandbox.dynamics.security import Access
from crmbridge.sandbox.dynamics.shape import Shape
from crmbridge.sandbox.dynamics.store import Store, fold
from crmbridge.sandbox.dynamics.tables import Table
from crmbridge.sandbox.dynamics.values import accept, guid, stamp

JSON = "application/json; odata.metadata=minimal"
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_PREFERENCE = re.compile(r'([\w.\-]+)\s*(?:=\s*("[^"]*"|[^,;\s]*))?\s*(?:[,;]|$)')


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    representation: bool = False
    page_size: int | None = None
    annotations: tuple[str, ...] = ()
    track_changes: bool = False
    continue_on_error: bool = False

    def wants(self, annotation: str) -> bool:
        """A name, `*` or `Name.Space.*`; a minus before it leaves out what it names."""
        names = [(each.removeprefix("-"), each.startswith("-")) for each in self.annotations]
        fitting = [
            minus
            for each, minus in names
            if each in ("*", annotation) or (each.endswith("*") and annotation.startswith(each[:-1]))
        ]
        return bool(fitting) and not any(fitting)


def read_preferences(header: str) -> Preferences:
    found: dict[str, Any] = {}
    for name, raw in _PREFERENCE.findall(header):
        value = raw.strip('"')
        match name.lower():
            case "return":
                found["representation"] = value == "representation"
            case "odata.maxpagesize" | "maxpagesize":
                found["page_size"] = max(1, min(int(value), 5000)) if value.isdigit() else None
            case "odata.include-annotations" | "include-annotations":
                found["annotations"] = tuple(each.strip() for each in value.split(",") if each.strip())
            case "odata.track-changes":
                found["track_changes"] = True
            case "odata.continue-on-error" | "continue-on-error":
                found["continue_on_error"] = value.lower() != "false"
            case _:
                pass  # an unknown preference may be ignored, by the standard
    return Preferences(**found)


@dataclass(kw_only=True)
class Context:
    """What an operation may use. `note` tells the ledger what kind of operation it turned out to be."""

    world: World
    store: Store
    user: str  # systemuserid on whose behalf rows are written
    caller: str  # the signed-in user; another one only when impersonating
    tenant: str
    base: str  # https://host/api/data/v9.2
    headers: Mapping[str, str]
    prefer: Preferences
    query: str = ""
    body: bytes = b""
    batched: bool = False
    references: dict[str, str] = field(default_factory=dict)  # Content-ID -> URL, inside a change set
    noted: list[tuple[str, str]] = field(default_factory=list)
    entity: str | None = None  # URL of the row that was written, for `$1` references
    now: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.now = self.world.clock.now()

    @cached_property
    def shape(self) -> Shape:
        return self.store.shape

    @cached_property
    def access(self) -> Access:
        """What the acting user may do, asked once per operation."""
        return Access(self.store, self.user, self.caller)

    @cached_property
    def bypasses_logic(self) -> bool:
        return bypasses_logic(self.headers, self.access)

    @cached_property
    def stamp(self) -> str:
        """Now, as rows keep it."""
        return stamp(self.now)

    def note(self, table: str, kind: str) -> None:
        self.noted.append((table, kind))

    def header(self, name: str) -> str:
        return self.headers.get(name.lower(), "")

    def scope(self, aliases: Mapping[str, str]) -> Scope:
        unit = (self.store.get("systemuser", self.user) or {}).get("businessunitid", "")
        return Scope(store=self.store, now=self.now, user=self.user, business_unit=unit, aliases=aliases)

    def json(self, *, needed: bool = False) -> dict[str, Any]:
        """The body as an object; numbers with a point are Decimal. One that cannot be read: dataverse-api §10.3.

        Actions may go without one, rows may not.
        """
        if not self.body.strip():
            if needed:  # text (unverified)
                raise bad_payload("", "The request has no body, where an object was expected.")
            return {}
        kind = self.header("content-type").partition(";")[0].strip().lower()
        if kind not in {"", "application/json"}:  # dataverse-api §2.1; status and text (unverified)
            raise DataverseError(415, "0x8006088a", f"The request's media type '{kind}' is not supported.")
        found: Any = None
        try:
            found = _DECODER.decode(self.body)
        except msgspec.DecodeError as error:
            try:  # OData's own reader also takes single quotes, as Microsoft's QualifyLead example has them
                found = _DECODER.decode(_double_quoted(self.body.decode()).encode())
            except (msgspec.DecodeError, UnicodeDecodeError):
                raise bad_payload("", f"Invalid JSON. {error}") from None
        if not isinstance(found, dict):
            node = "StartArray" if isinstance(found, list) else "PrimitiveValue"
            raise bad_payload("", f"A node of type '{node}' was read from the JSON reader when an object was expected.")
        if len(_MEMBER.findall(self.body)) > _members(found) and (name := _named_twice(self.body)) is not None:
            raise bad_payload(  # text (unverified)
                "",
                f"Multiple properties with the name '{name}' were detected in a resource. Duplicates are not allowed.",
            )
        return found

    def url(self, table: Table, key: str) -> str:
        return f"{self.base}/{table.set_name}({key})"


_MEMBER = re.compile(rb"[\"']\s*:")


def _members(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_members, value.values()))
    return sum(map(_members, value)) if isinstance(value, list) else 0


def _named_twice(body: bytes) -> str | None:
    """The first name that an object has twice: looked for when a body seems to hold more names than were read."""
    twice: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in pairs]
        twice.extend(name for name in names if names.count(name) > 1)

    try:
        json.loads(body, object_pairs_hook=look)
    except (ValueError, RecursionError):
        return None  # single quotes: what was read is what there is
    return twice[0] if twice else None


_JSON_TEXT = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'', re.DOTALL)


def _double_quoted(text: str) -> str:
    def replace(match: re.Match[str]) -> str:
        piece = match[0]
        if piece[0] == '"':
            return piece
        return '"' + piece[1:-1].replace('"', '\\"').replace("\\'", "'") + '"'

    return _JSON_TEXT.sub(replace, text)


def encode(payload: Any) -> bytes:
    return _ENCODER.encode(payload)


def answer(payload: Any, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> Reply:
    return Reply(
        status=status,
        headers=(("Content-Type", JSON), ("OData-Version", "4.0"), *headers),
        body=encode(payload),
    )


def no_content(headers: Sequence[tuple[str, str]] = ()) -> Reply:
    return Reply(status=204, headers=(("OData-Version", "4.0"), *headers))


def refusal(error: DataverseError, prefer: Preferences) -> Reply:
    """dataverse-api §10.1"""
    if error.status == 401:
        return Reply(status=401, headers=error.headers)
    body: dict[str, Any] = {"code": error.code, "message": error.message}
    if "*" in prefer.annotations:
        body |= {
            "@Microsoft.PowerApps.CDS.ErrorDetails.OperationStatus": "1",
            "@Microsoft.PowerApps.CDS.HelpLink": "http://go.microsoft.com/fwlink/?LinkID=398563&error="
            f"Microsoft.Crm.CrmException%3a{error.code.removeprefix('0x')}&client=platform",
            "@Microsoft.PowerApps.CDS.InnerError.Message": error.message,
        }
    return answer({"error": body}, error.status, error.headers)


# Query options

_OPTIONS = frozenset({
    "$select", "$filter", "$orderby", "$top", "$expand", "$count", "$skiptoken", "$deltatoken", "$id", "$apply",
    "fetchXml", "sql", "savedQuery", "userQuery",
})  # fmt: skip


def query_options(query: str, also: frozenset[str] = frozenset()) -> tuple[dict[str, str], dict[str, str]]:
    """(system options, parameter aliases); a name that the service does not know is refused. Case counts.

    `also`: options that only this resource has.
    """
    options: dict[str, str] = {}
    aliases: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in options or name in aliases:  # dataverse-api §10.3; text (unverified)
            raise bad_query(
                f"Query option '{name}' was specified more than once, but it must be specified at most once."
            )
        if name.startswith("@"):
            aliases[name] = value
        elif name == "$skip":
            raise bad_query("Skip Clause is not supported in CRM")  # dataverse-api §2.3
        elif name in _OPTIONS or name in also:
            options[name] = value
        elif name not in NO_EFFECT_OPTIONS:
            raise bad_query(f"The query parameter {name} is not supported.")
    return options, aliases


def link(base: str, options: Mapping[str, str]) -> str:
    """A URL to follow unchanged."""
    return f"{base}?" + "&".join(f"{name}={quote(value, safe='$,()/=;:@*!')}" for name, value in options.items())


# Paths

_SEGMENT = re.compile(r"([^()/]+)(?:\((.*)\))?", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    name: str
    key: str | None = None  # the text between parentheses, None without them


def segments(path: str) -> list[Segment]:
    """`leads(7c0e…)/parentaccountid/$ref` as segments; a slash between quotes does not part them."""
    pieces: list[str] = [""]
    quoted = False
    depth = 0
    for char in unquote(path):
        quoted ^= char == "'"
        depth += 0 if quoted else (char == "(") - (char == ")")
        if char == "/" and not quoted and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += char
    found: list[Segment] = []
    for piece in pieces:
        if not piece:
            continue  # doubled and trailing slashes: clients.md
        match = _SEGMENT.fullmatch(piece)
        if match is None:  # dataverse-api §10.3
            raise bad_query(f"Bad Request - Error in query syntax: '{piece}'.")
        found.append(Segment(name=match[1], key=match[2]))
    return found


_PAIR = re.compile(r"\s*([\w.@$]+)\s*=\s*('(?:[^']|'')*'|\[[^\]]*\]|[^,]*)\s*(?:,|$)", re.DOTALL)


def arguments(text: str | None, aliases: Mapping[str, str] | None = None) -> dict[str, str]:
    """`A=@p1,B='x'` as names and texts, aliases replaced and quotes taken off (dataverse-api §2.5, §10.3)."""
    found: dict[str, str] = {}
    position = 0
    text = text or ""
    while position < len(text):
        match = _PAIR.match(text, position)
        if match is None:
            raise bad_query(f"Bad Request - Error in query syntax: '{text}'.")
        value = match[2].strip()
        if value.startswith("@"):
            if aliases is None or value not in aliases:
                raise bad_query(f"The parameter alias '{value}' has no value in the request.")
            value = aliases[value].strip()
        found[match[1]] = value[1:-1].replace("''", "'") if value.startswith("'") else value
        position = match.end()
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class RowKey:
    """What a key segment names: an id, or values of an alternate key and the id they lead to, if any."""

    id: str | None
    alternate: Mapping[str, Any] = field(default_factory=dict)


def resolve_key(ctx: Context, table: Table, text: str) -> RowKey:
    plain = guid(text.strip())
    if plain is not None:
        return RowKey(id=plain)
    pairs = arguments(text) if "=" in text else None
    if not pairs:
        raise bad_query(f"Bad Request - Error in query syntax: '{text}' is no valid key of '{table.set_name}'.")
    if set(pairs) == {table.key} and (own := guid(pairs[table.key])) is not None:
        return RowKey(id=own)
    columns = {table.by_wire[name].name: value for name, value in pairs.items() if name in table.by_wire}
    usable = (each for each in keys_of(ctx.store, ctx.now, table) if each.status == "Active")
    key = next((each for each in usable if set(each.columns) == set(columns) and len(columns) == len(pairs)), None)
    if key is None:  # dataverse-api §4.5
        raise DataverseError(
            400,
            "0x80060888",
            f"The key in the request URI is not valid for resource 'Microsoft.Dynamics.CRM.{table.name}'. Ensure "
            "that the "
            "names and number of key properties match the declared or alternate key properties for the resource "
            f"'Microsoft.Dynamics.CRM.{table.name}'.",
        )
    values = {name: _key_value(table, name, value) for name, value in columns.items()}
    return RowKey(id=find_by_key(ctx.store, table, values), alternate=values)


def _key_value(table: Table, name: str, text: str) -> Any:
    column = table.columns[name]
    try:
        if column.kind in {"Integer", "Picklist"}:
            return int(text)
        if column.kind == "Decimal":
            return Decimal(text)
    except (ValueError, ArithmeticError):  # dataverse-api §4.5; text (unverified)
        raise bad_query(f"The value '{text}' does not fit the key column '{name}'.") from None
    if column.is_lookup:
        return guid(text)
    if column.kind == "DateTime":
        return accept(table, column, text)
    if _NOT_IN_KEYS & set(text):  # dataverse-api §4.5; text (unverified)
        raise bad_query(f"The value '{text}' of the key column '{name}' has characters that cannot stand in a URL.")
    return text


_NOT_IN_KEYS = frozenset("/<>*%&:\\?+")


def find_by_key(store: Store, table: Table, values: Mapping[str, Any]) -> str | None:
    first, *others = values
    for key in store.find(table.name, first, values[first]):
        row: Row = store.rows(table.name)[key]
        if all(fold(row.get(name)) == fold(values[name]) for name in others):
            return key
    return None


def key_missing(table: Table) -> DataverseError:
    return DataverseError(  # dataverse-api §4.5, §10.3
        404, "0x80060891", f"A record with the specified key values does not exist in {table.name} entity"
    )

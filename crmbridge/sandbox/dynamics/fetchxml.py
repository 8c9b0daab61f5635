"""FetchXML as values: what a query asks for, with names not yet looked up (dataverse-api §2.9)."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from crmbridge.sandbox.dynamics.aggregates import DATE_PARTS, FUNCTIONS
from crmbridge.sandbox.dynamics.conditions import KNOWN, LISTS, PAIRS
from crmbridge.sandbox.dynamics.errors import DataverseError

_ALIAS = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*", re.ASCII)
_PAGE_ROWS_MAX = 5000
_DEPTH_MAX = 50
JOINS = frozenset({"inner", "outer", "exists", "in", "matchfirstrowusingcrossapply"})
FILTER_JOINS = frozenset({"any", "not any", "all", "not all"})
_COMPARED = frozenset({"eq", "ne", "neq", "gt", "ge", "lt", "le"})
# Accepted, no effect: they steer the database, or say what is so anyway.
_FETCH_NO_EFFECT = frozenset(
    {"version", "mapping", "output-format", "no-lock", "latematerialize", "options", "utc-offset"}
)


def fetch_error(message: str) -> DataverseError:
    """An invalid argument (dataverse-api §10.3); which code a mistake in FetchXML has is mostly (unverified)."""
    return DataverseError(400, "0x80040203", message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    name: str
    alias: str | None = None
    aggregate: str | None = None
    group: bool = False
    date_part: str | None = None
    distinct: bool = False
    children: bool = False  # rowaggregate="CountChildren"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    attribute: str
    operator: str
    values: tuple[str, ...] = ()
    entity: str | None = None  # the alias it is about, where that is not the one it stands in
    other: str | None = None  # valueof: another column


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    any_of: bool
    parts: tuple["Condition | Where | Link", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    attribute: str | None
    alias: str | None
    entity: str | None
    descending: bool


@dataclass(slots=True, kw_only=True)
class Link:
    """The entity, or a table joined to it."""

    name: str
    kind: str = "inner"
    child: str = ""  # `from`: a column of this table
    parent: str = ""  # `to`: a column of the table it is joined to
    alias: str | None = None
    attributes: list[Attribute] = field(default_factory=list[Attribute])
    everything: bool = False  # all-attributes
    where: list[Where] = field(default_factory=list[Where])
    links: list["Link"] = field(default_factory=list["Link"])
    orders: list[Order] = field(default_factory=list[Order])


@dataclass(slots=True, kw_only=True)
class Fetch:
    entity: Link
    top: int | None = None
    count: int | None = None
    page: int = 1
    cookie: str | None = None
    distinct: bool = False
    aggregate: bool = False
    aggregate_limit: int | None = None
    total: bool = False
    offset: int = 0  # rows left out at the beginning; SQL alone has it


def read_xml(text: str) -> Any:
    """The root element. No entities, no DTD, no network; text that is no XML is refused (code (unverified))."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text).encode(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise DataverseError(400, "0x80040201", f"Invalid XML. {error}") from None  # (unverified)
    if root.getroottree().docinfo.doctype:
        raise DataverseError(400, "0x80040201", "Invalid XML. A DTD is not allowed.")  # (unverified)
    return root


def parse_fetch(text: str) -> Fetch:
    """dataverse-api §2.9"""
    root = read_xml(text)
    if root.tag != "fetch":
        raise fetch_error(f"The root element of FetchXML is 'fetch', not '{root.tag}'.")
    given = _attributes(root, _FETCH_ATTRIBUTES | _FETCH_NO_EFFECT)
    entities = list(root)
    if len(entities) != 1 or entities[0].tag != "entity":
        raise fetch_error("The element 'fetch' holds exactly one element 'entity'.")
    aggregate = _flag(given, "aggregate")
    fetch = Fetch(
        entity=_link(entities[0], aggregate=aggregate, depth=0),
        top=_number(given, "top", 1, _PAGE_ROWS_MAX),
        count=_number(given, "count", 1, None),
        page=_number(given, "page", 1, None) or 1,
        cookie=given.get("paging-cookie") or None,
        distinct=_flag(given, "distinct"),
        aggregate=aggregate,
        aggregate_limit=_number(given, "aggregatelimit", 1, None),
        total=_flag(given, "returntotalrecordcount"),
    )
    if fetch.top is not None:
        for name in ("page", "count", "returntotalrecordcount"):
            if name in given and (name != "returntotalrecordcount" or fetch.total):
                raise fetch_error(f"The top attribute can't be specified with paging attribute {name}")
    return fetch


_FETCH_ATTRIBUTES = frozenset({
    "top", "count", "page", "paging-cookie", "distinct", "aggregate", "aggregatelimit", "returntotalrecordcount",
})  # fmt: skip


def _attributes(element: Any, known: frozenset[str]) -> Mapping[str, str]:
    """dataverse-api §2.9"""
    found = {str(name): str(value) for name, value in element.attrib.items()}
    if unknown := sorted(set(found) - known):
        raise fetch_error(f"The attribute '{unknown[0]}' of the element '{element.tag}' is not supported.")
    return found


def _flag(given: Mapping[str, str], name: str) -> bool:
    """dataverse-api §2.9"""
    text = given.get(name, "false").lower()
    if text not in {"true", "false", "1", "0"}:
        raise fetch_error(f"Invalid value '{given[name]}' for the attribute '{name}'.")
    return text in {"true", "1"}


def _number(given: Mapping[str, str], name: str, low: int, high: int | None) -> int | None:
    """dataverse-api §2.9"""
    text = given.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10) or int(text) < low:
        raise fetch_error(f"Invalid value '{text}' for the attribute '{name}'.")
    if high is not None and int(text) > high:
        raise fetch_error(f"The value of the attribute '{name}' can't be greater than {high}.")
    return int(text)


def _needed(given: Mapping[str, str], name: str, element: Any) -> str:
    """dataverse-api §2.9"""
    if not given.get(name):
        raise fetch_error(f"The required attribute '{name}' of the element '{element.tag}' is missing.")
    return given[name]


def _link(element: Any, *, aggregate: bool, depth: int) -> Link:
    """dataverse-api §2.9"""
    if depth > _DEPTH_MAX:
        raise fetch_error("The query is nested too deeply.")
    top = element.tag == "entity"
    given = _attributes(element, _ENTITY if top else _LINK)
    link = Link(name=_needed(given, "name", element), alias=given.get("alias"))
    if link.alias is not None:
        check_alias(link.alias)
    if not top:
        link.kind = given.get("link-type", "inner")
        if link.kind not in JOINS | FILTER_JOINS:
            raise fetch_error(f"The link-type '{link.kind}' is not supported.")
        link.child, link.parent = _needed(given, "from", element), _needed(given, "to", element)
    for child in element:
        match child.tag:
            case "attribute":
                link.attributes.append(_attribute(child, aggregate=aggregate))
            case "all-attributes":
                _attributes(child, frozenset())
                link.everything = True
            case "filter":
                link.where.append(_where(child, depth + 1))
            case "link-entity":
                inner = _link(child, aggregate=aggregate, depth=depth + 1)
                if inner.kind in FILTER_JOINS:
                    raise fetch_error(f"The link-type '{inner.kind}' belongs inside of a filter.")
                link.links.append(inner)
            case "order":
                link.orders.append(_order(child))
            case _:
                raise fetch_error(f"The element '{child.tag}' is not expected in '{element.tag}'.")
    return link


_ENTITY = frozenset({"name", "enableprefiltering", "prefilterparametername", "alias"})
_LINK = frozenset({"name", "from", "to", "alias", "link-type", "intersect", "visible", "enableprefiltering"})


def check_alias(alias: str) -> None:
    """dataverse-api §2.9; the code is (unverified)"""
    if not _ALIAS.fullmatch(alias):
        raise fetch_error(
            f"Invalid character specified for alias: {alias}. Only characters within the ranges [A-Z], [a-z] or "
            "[0-9] or _ are allowed.  The first character may only be in the ranges [A-Z], [a-z] or _."
        )


def _attribute(element: Any, *, aggregate: bool) -> Attribute:
    """dataverse-api §2.9"""
    given = _attributes(
        element,
        frozenset(
            {"name", "alias", "aggregate", "groupby", "dategrouping", "distinct", "rowaggregate", "usertimezone"}
        ),
    )
    name = _needed(given, "name", element)
    function, part = given.get("aggregate"), given.get("dategrouping")
    if function is not None and function not in FUNCTIONS:
        raise fetch_error(f"The aggregate '{function}' is not supported.")
    if part is not None and part not in DATE_PARTS:
        raise fetch_error(f"The dategrouping '{part}' is not supported.")
    group = _flag(given, "groupby")
    if given.get("alias"):
        check_alias(given["alias"])
    if aggregate:
        _needed(given, "alias", element)
        if (function is not None) == group:
            raise fetch_error(f"The attribute '{name}' of an aggregate query needs either 'aggregate' or 'groupby'.")
    elif function is not None or group or part is not None:
        raise fetch_error("Aggregates and groups need the attribute aggregate='true' of the element 'fetch'.")
    if part is not None and not group:
        raise fetch_error(f"The dategrouping of '{name}' needs groupby='true'.")
    rows = given.get("rowaggregate")
    if rows is not None and (rows != "CountChildren" or not given.get("alias") or aggregate):
        raise fetch_error("A rowaggregate is 'CountChildren', needs an alias and is no part of an aggregate query.")
    return Attribute(
        name=name, alias=given.get("alias") or None, aggregate=function, group=group, date_part=part,
        distinct=_flag(given, "distinct"), children=rows is not None,
    )  # fmt: skip


def _order(element: Any) -> Order:
    """dataverse-api §2.9"""
    given = _attributes(element, frozenset({"attribute", "alias", "entityname", "descending"}))
    attribute, alias = given.get("attribute"), given.get("alias")
    if (attribute is None) == (alias is None):
        raise fetch_error("The element 'order' needs either 'attribute' or 'alias'.")
    return Order(
        attribute=attribute, alias=alias, entity=given.get("entityname"), descending=_flag(given, "descending")
    )


def _where(element: Any, depth: int) -> Where:
    """dataverse-api §2.9"""
    if depth > _DEPTH_MAX:
        raise fetch_error("The query is nested too deeply.")
    given = _attributes(
        element, frozenset({"type", "hint", "isquickfindfields", "overridequickfindrecordlimitenabled"})
    )
    kind = given.get("type", "and")
    if kind not in {"and", "or"}:
        raise fetch_error(f"Invalid value '{kind}' for the attribute 'type'.")
    return Where(any_of=kind == "or", parts=tuple(_parts(element, depth)))


def _parts(element: Any, depth: int) -> Iterator[Condition | Where | Link]:
    """dataverse-api §2.9"""
    for child in element:
        if child.tag == "condition":
            yield _condition(child)
        elif child.tag == "filter":
            yield _where(child, depth + 1)
        elif child.tag == "link-entity":
            link = _link(child, aggregate=False, depth=depth + 1)
            if link.kind not in FILTER_JOINS:
                raise fetch_error(f"The link-type '{link.kind}' is not supported inside of a filter.")
            yield link
        else:
            raise fetch_error(f"The element '{child.tag}' is not expected in 'filter'.")


def _condition(element: Any) -> Condition:
    """dataverse-api §2.9"""
    given = _attributes(
        element, frozenset({"attribute", "operator", "value", "valueof", "entityname", "uiname", "uitype", "uihidden"})
    )
    operator = _needed(given, "operator", element)
    if operator not in KNOWN:
        raise fetch_error(f"The condition operator '{operator}' is not supported.")
    values: list[str] = []
    for child in element:
        if child.tag != "value" or len(child):
            raise fetch_error(f"The element '{child.tag}' is not expected in 'condition'.")
        values.append(child.text or "")
    if "value" in given:
        if values:
            raise fetch_error("A condition has either the attribute 'value' or elements 'value'.")
        values = [given["value"]]
    if "valueof" in given and (values or operator not in _COMPARED):
        raise fetch_error(f"The condition operator '{operator}' cannot compare columns.")
    if operator in LISTS | PAIRS and "value" in given and not operator.endswith(("in", "contain-values")):
        raise fetch_error(f"The condition operator '{operator}' needs elements 'value'.")
    return Condition(
        attribute=_needed(given, "attribute", element), operator=operator, values=tuple(values),
        entity=given.get("entityname"), other=given.get("valueof"),
    )  # fmt: skip

"""XML of Bulk API 1.0: jobs, batches, records and results, laid out as recorded answers are (salesforce-api §9.1).

`clients` sheet, point 4: XML for CSV and XML jobs, JSON for JSON jobs.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from lxml import etree

from crmbridge.sandbox.salesforce.xml_text import xml_text

NAMESPACE: Final = "http://www.force.com/2009/06/asyncapi/dataload"
_XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
_HEAD: Final = '<?xml version="1.0" encoding="UTF-8"?>'


class BadXml(ValueError):
    """The body is no document that this API knows."""


def parsed(body: bytes) -> Any:
    """The root element; no entity is ever resolved, no network asked."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(body.strip(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise BadXml(str(error)) from None
    if root.getroottree().docinfo.doctype:
        raise BadXml("DOCTYPE is not allowed")
    return root


def fields(root: Any) -> dict[str, str]:
    """The children's texts by name."""
    return {_name(child): (child.text or "").strip() for child in root if isinstance(child.tag, str)}


def name_of(root: Any) -> str:
    return _name(root)


def records(root: Any) -> list[dict[str, Any]]:
    """`sObjects`: one mapping for each; a parent is told by a nested sObject with its external id."""
    if _name(root) != "sObjects":
        raise BadXml(f"expected sObjects, not {_name(root)}")
    return [_record(child) for child in root if isinstance(child.tag, str)]


def _record(node: Any) -> dict[str, Any]:
    item: dict[str, Any] = {}
    for child in node:
        if not isinstance(child.tag, str) or _name(child) in ("type", "attributes"):
            continue
        inner = [each for each in child if isinstance(each.tag, str)]
        if inner:
            item[_name(child)] = _record(inner[0] if _name(inner[0]) == "sObject" else child)
        elif child.get(f"{{{_XSI}}}nil") in ("true", "1"):
            item[_name(child)] = None
        elif child.text:
            item[_name(child)] = child.text
    return item


def _name(node: Any) -> str:
    return etree.QName(node).localname


def document(root: str, values: Mapping[str, object]) -> bytes:
    """One flat document, a line for each value; nothing is written for None."""
    return f'{_HEAD}<{root}\n   xmlns="{NAMESPACE}">\n{_lines(values, " ")}</{root}>'.encode()


def listing(root: str, item: str, many: Iterable[Mapping[str, object]]) -> bytes:
    body = "".join(f" <{item}>\n{_lines(values, '  ')} </{item}>\n" for values in many)
    return f'{_HEAD}<{root}\n   xmlns="{NAMESPACE}">\n{body}</{root}>'.encode()


def texts(root: str, item: str, many: Sequence[str]) -> bytes:
    body = "".join(f"<{item}>{xml_text(value)}</{item}>" for value in many)
    return f'{_HEAD}<{root} xmlns="{NAMESPACE}">{body}</{root}>'.encode()


def _lines(values: Mapping[str, object], indent: str) -> str:
    written = {name: xml_text(value) for name, value in values.items() if value is not None}
    return "".join(f"{indent}<{name}>{text}</{name}>\n" for name, text in written.items())


def results(many: Iterable[Mapping[str, Any]]) -> bytes:
    """What became of each record of an XML batch."""
    body = "".join(f"<result>{_result(each)}</result>" for each in many)
    return f'{_HEAD}<results xmlns="{NAMESPACE}">{body}</results>'.encode()


def _result(result: Mapping[str, Any]) -> str:
    errors = "".join(
        "<errors>"
        + "".join(f"<fields>{xml_text(name)}</fields>" for name in error["fields"])
        + f"<message>{xml_text(error['message'])}</message>"
        + f"<statusCode>{xml_text(error['statusCode'])}</statusCode></errors>"
        for error in result["errors"]
    )
    key = f"<id>{xml_text(result['id'])}</id>" if result["id"] else ""
    flags = f"<success>{xml_text(result['success'])}</success><created>{xml_text(result['created'])}</created>"
    return errors + key + flags


def rows(many: Iterable[Mapping[str, Any]]) -> bytes:
    """The rows of a query."""
    body = "".join(f"<records{_typed(row)}</records>" for row in many)
    return f'{_HEAD}<queryResult xmlns="{NAMESPACE}" xmlns:xsi="{_XSI}">{body}</queryResult>'.encode()


def _typed(row: Mapping[str, Any]) -> str:
    parts = [f' xsi:type="sObject"><type>{xml_text(row["attributes"]["type"])}</type>']
    for name, value in row.items():
        if name == "attributes":
            continue
        if value is None:
            parts.append(f'<{name} xsi:nil="true"/>')
        elif isinstance(value, Mapping):
            parts.append(f"<{name}{_typed(value)}</{name}>")
        else:
            parts.append(f"<{name}>{xml_text(value)}</{name}>")
    return "".join(parts)

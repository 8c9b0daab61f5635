"""The partner WSDL's types as a validator: what of a SOAP answer a strict client would refuse."""

from functools import cache
from pathlib import Path
from typing import Any

from lxml import etree

from tests.support.material import folder

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_XSD = "http://www.w3.org/2001/XMLSchema"


def path() -> Path:
    return folder("sf-wsdl-partner-v27") / "partner.wsdl.xml"


@cache
def _schema(where: Path) -> etree.XMLSchema:
    """The WSDL's three schemas import each other by name alone: they are given places here."""
    types = etree.parse(str(where)).findall(f".//{{{_XSD}}}schema")
    places = {element.get("targetNamespace"): f"mem:{number}" for number, element in enumerate(types)}
    for element in types:
        for imported in element.findall(f"{{{_XSD}}}import"):
            imported.set("schemaLocation", places[imported.get("namespace")])
    texts = {places[element.get("targetNamespace")]: etree.tostring(element) for element in types}

    class Places(etree.Resolver):
        def resolve(self, system_url: str | None, public_id: str | None, context: Any) -> Any:
            return self.resolve_string(texts[system_url], context) if system_url and system_url in texts else None

    parser = etree.XMLParser()
    parser.resolvers.add(Places())
    imports = "".join(f'<import namespace="{space}" schemaLocation="{place}"/>' for space, place in places.items())
    return etree.XMLSchema(etree.fromstring(f'<schema xmlns="{_XSD}">{imports}</schema>', parser))


def problems(body: bytes) -> list[str]:
    """What is wrong with the answer in an envelope, or with the detail of its fault; empty if nothing is."""
    schema = _schema(path())
    root = etree.fromstring(body)
    content = root.find(f"{{{SOAP}}}Body")
    assert content is not None
    answer = content[0]
    if answer.tag == f"{{{SOAP}}}Fault":
        detail = answer.find("detail")
        if detail is None:
            return []
        answer = detail[0]
    schema.validate(etree.ElementTree(etree.fromstring(etree.tostring(answer))))
    return [f"{error.path}: {error.message}" for error in schema.error_log]

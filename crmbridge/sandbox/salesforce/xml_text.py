"""How a value is written as the text of an XML element, for SOAP and Bulk API 1.0 alike (salesforce-api §6.3)."""

import re
from decimal import Decimal
from typing import Final
from xml.sax.saxutils import escape

# What XML 1.0 cannot hold, not even escaped.
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def xml_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return f"{value:f}"
    return escape(_NOT_XML.sub("", str(value)))

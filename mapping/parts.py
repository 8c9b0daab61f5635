"""A field that stands in several columns on one side: read together, written part by part, each checked as a text."""

from collections.abc import Mapping
from typing import Any, Final

from crmbridge.model import Value
from mapping.document import FieldDoc
from mapping.end import Facts, Made, Setting, attribute
from mapping.joints import JOINTS, Joint, joint_of
from mapping.transforms import CONVERTERS, Converter, Refusal, joined

PARTS_MAX: Final = 8


def joint(doc: FieldDoc) -> Joint | None:
    """How this field's columns are put together; None where it stands in one column only, on either side."""
    return joint_of(doc.join) if doc.join is not None else JOINTS.get(doc.convert)


def joined_converter(doc: FieldDoc) -> Converter:
    """The side on which the whole text stands in one column."""
    return joined("text", joint_of(doc.join)) if doc.join is not None else CONVERTERS[doc.convert]


def make_parts(setting: Setting) -> Made:
    columns, how = setting.field.columns[setting.side].parts, joint(setting.field)
    assert how is not None, "a list of columns says how it is joined: the check has seen to that"
    known = setting.description.columns if setting.description else {}
    text = CONVERTERS["text"]
    puts = {column: text.put(known.get(column), None) for column in columns}
    needed = {column for column in columns if column in known and known[column].required}
    raws, get = [attribute(column) for column in columns], text.get(None, None)
    here = setting.document.names[setting.side]

    def standing(values: Any) -> list[str]:
        natives = [raw(values) for raw in raws]
        return ["" if native is None else str(get(native) or "") for native in natives]

    def read(values: Any, facts: Facts) -> Value:
        return how.normal(how.separator.join(part for part in standing(values) if part)) or None

    def write(value: Value, facts: Facts, current: Any) -> dict[str, Any]:
        now = standing(current) if current is not None else None
        parts = how.split(how.normal(str(value)), len(columns), now) if value is not None else [""] * len(columns)
        written: dict[str, Any] = {}
        for n, (column, part) in enumerate(zip(columns, parts, strict=True)):
            if not part and column in needed:
                raise Refusal(
                    "required_blank",
                    f"nothing of it is left for {column}, which {here} needs",
                    "write the value so that each part has something, e.g. a first and a last name",
                )
            if now[n] != part if now is not None else part:
                written[column] = _checked(puts, column, part) if part else None
        return written

    return dict.fromkeys(columns, str), None, read, write


def _checked(puts: Mapping[str, Any], column: str, part: str) -> Any:
    try:
        return puts[column](part)
    except Refusal as refusal:
        raise Refusal(refusal.cause, f"its part for {column}: {refusal.message}", refusal.fix) from None

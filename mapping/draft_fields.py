"""Fields of a draft: standard pairs that both systems have are decided, whatever else is called alike is asked."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from crmbridge.model import SIDES, Entity, Side, other
from mapping.draft_alike import ALIKE, columns_alike
from mapping.draft_ends import DraftColumn, Ends, Line, cells, each_side, named, sides_that
from mapping.draft_standard import STANDARD, Standard
from mapping.draft_values import table_lines
from mapping.live import FITS
from mapping.paste import free_name, yaml_word
from mapping.transforms import CONVERTERS, scale_loss

# Columns that are the CRM's own, or the connectors': nobody maps them.
_OWN: Final = frozenset(
    {"Id", "Name", "Status", "StageName", "CurrencyIsoCode", "RecordTypeId", "IsConverted", "IsUnreadByOwner"}
    | {"statecode", "statuscode", "salesstage", "salesstagecode", "transactioncurrencyid", "ownerid", "customerid"}
    | {"importsequencenumber", "overriddencreatedon", "timezoneruleversionnumber", "utcconversiontimezonecode"}
    | {"processid", "stageid", "stepid", "stepname", "traversedpath", "exchangerate", "versionnumber"}
)
# What a pair of column kinds is best read as; a lookup and a choice need more than that.
_PLAIN: Final[Mapping[frozenset[str], str]] = {
    frozenset({"text"}): "text",
    frozenset({"boolean"}): "boolean",
    frozenset({"integer"}): "integer",
    frozenset({"number"}): "number",
    frozenset({"number", "integer"}): "number",
    frozenset({"money"}): "money",
    frozenset({"money", "number"}): "money",
    frozenset({"date"}): "date",
    frozenset({"date", "datetime"}): "date",
    frozenset({"datetime"}): "datetime",
}
# Two to eight letters or digits (a navigation property keeps its capitals); these are the maker's own.
_PUBLISHER: Final = re.compile(r"^([a-z][a-z0-9]{1,7})_(?=\w)")
_MAKERS_PREFIXES: Final = frozenset({"address1", "address2", "address3", "msdyn", "msdynmkt", "adx", "mspp"})
_ENTITIES: Final[Mapping[str, Entity]] = {
    "account": "account",
    "contact": "contact",
    "lead": "lead",
    "opportunity": "opportunity",
}


@dataclass(slots=True, kw_only=True)
class Fields:
    """The drafted fields and the tables of values that they need."""

    lines: list[Line] = field(default_factory=list[Line])
    tables: dict[str, list[Line]] = field(default_factory=dict[str, list[Line]])
    asked_tables: dict[str, list[Line]] = field(default_factory=dict[str, list[Line]])
    alone: dict[Side, list[str]] = field(default_factory=lambda: each_side(lambda _: list[str]()))

    @property
    def active(self) -> set[str]:
        """Fields that both sides have."""
        return {line.name for line in self.lines if line.active and len(line.columns) == len(SIDES)}

    @property
    def names(self) -> set[str]:
        return {line.name for line in self.lines}


def draft_fields(entity: Entity, ends: Ends) -> Fields:
    found = Fields()
    taken = each_side(lambda _: set[str]())
    lonely: list[tuple[Standard, Side]] = []  # seen on this side only
    made: list[Standard] = []
    for standard in STANDARD[entity]:
        columns = _columns(standard, ends)
        seen = _seen(columns, ends)
        for side in seen:
            taken[side].add(columns[side])
            taken[side].update(standard.by_state.get(ends[side].system, {}).values())
        if len(seen) == len(SIDES):
            found.lines.append(_pair(standard, columns, ends, found))
        elif len(seen) == 1 and all(columns.values()):
            lonely.append((standard, seen[0]))
        elif seen and standard.create:
            made.append(standard)
    found.lines[:0] = [line for standard in made if (line := _made(standard, ends, found.active))]
    _lonely(lonely, ends, taken, found)
    _alike(ends, taken, found)
    return found


def _columns(standard: Standard, ends: Ends) -> dict[Side, str]:
    return each_side(lambda side: standard.columns.get(ends[side].system, ""))


def _seen(columns: Mapping[Side, str], ends: Ends) -> list[Side]:
    return sides_that(lambda side: columns[side] in ends[side].description.columns)


# --- a standard pair ----------------------------------------------------------------------------------------------


def _pair(standard: Standard, columns: Mapping[Side, str], ends: Ends, found: Fields) -> Line:
    metas = each_side(lambda side: ends[side].description.columns[columns[side]])
    asks, notes = _misfits(standard, metas, ends), _lengths(metas, ends)
    read_only = sides_that(lambda side: not metas[side].createable and not metas[side].updateable)
    if standard.convert == "choice" and not asks:
        asks = _tabled(standard, metas, ends, found)
    if len(read_only) == len(SIDES):
        asks.append(f"our user may write neither {metas['left'].name} nor {metas['right'].name}")
    if standard.ask:
        asks.append(standard.ask)
    lossy = sides_that(lambda side: bool(_loss(standard.convert, metas, side)))
    notes += [f"{ends[side].name} {_loss(standard.convert, metas, side)}" for side in lossy]
    rule = standard.rule
    if len(read_only) == 1:
        rule = ends[read_only[0]].name
        notes.append(f"our user may not write it in {rule}")
    body = cells(
        **{ends[side].name: _column(standard, columns[side], ends, side) for side in SIDES},
        convert=standard.convert if standard.convert not in ("text", "choice", "link") else "",
        values=standard.values or "",
        link=standard.link or "",
        rule=rule if rule != "both" else "",
        required="true" if standard.required else "",
        restrictive="true" if standard.restrictive else "",
        filler=_filler(standard, metas, ends),
        lossy=named([side for side in lossy if side not in read_only], ends),
    )
    return Line(
        name=standard.name,
        confidence="question" if asks else "likely" if read_only else "sure",
        comment="; ".join([*asks, *notes]) or _same(metas),
        text=f"{standard.name}: {body}",
        columns=columns,
    )


def _same(metas: Mapping[Side, DraftColumn]) -> str:
    return f"standard on both, {metas['left'].type}"


def _misfits(standard: Standard, metas: Mapping[Side, DraftColumn], ends: Ends) -> list[str]:
    fits = FITS.get(standard.convert) or CONVERTERS[standard.convert].fits
    return [
        f"{metas[side].name} is a {metas[side].type} field in {ends[side].name}, which {standard.convert!r} cannot hold"
        for side in SIDES
        if metas[side].type not in fits or (standard.convert in CONVERTERS and _numbered(metas[side]))
    ]


def _numbered(meta: DraftColumn) -> bool:
    return meta.type == "choice" and any(isinstance(o.value, int) for o in meta.options)


def _lengths(metas: Mapping[Side, DraftColumn], ends: Ends) -> list[str]:
    """Longer values are held, not cut: said where one column takes less than the other."""
    left, right = metas["left"].length, metas["right"].length
    if left is None or right is None or left == right:
        return []
    side: Side = "left" if left < right else "right"
    return [f"{ends[side].name} takes {min(left, right)} characters, longer ones are held"]


def _loss(convert: str, metas: Mapping[Side, DraftColumn], side: Side) -> str:
    """What this side cannot tell of the other's values."""
    if convert == "money":
        return scale_loss(metas[other(side)], metas[side])
    return CONVERTERS[convert].loss(metas[other(side)], metas[side]) if convert in CONVERTERS else ""


def _column(standard: Standard, column: str, ends: Ends, side: Side) -> str:
    known = ends[side].description.columns
    more = {s: c for s, c in standard.by_state.get(ends[side].system, {}).items() if c in known}
    return cells(column=column, **more) if more else yaml_word(column)


def _filler(standard: Standard, metas: Mapping[Side, DraftColumn], ends: Ends) -> str:
    texts = {
        ends[side].name: yaml_word(text) if not text.startswith("created") else text
        for side in SIDES
        if (text := standard.filler.get(ends[side].system, ""))
        and metas[side].required
        # Where the other side wants a value as well there is always one.
        and not metas[other(side)].required
    }
    return cells(**texts) if texts else ""


def _tabled(standard: Standard, metas: Mapping[Side, DraftColumn], ends: Ends, found: Fields) -> list[str]:
    """Drafts the field's table; a table with nothing decided makes the field itself a question."""
    assert standard.values is not None
    lines = table_lines(standard.values, ends, each_side(lambda side: metas[side].options))
    if any(line.active for line in lines):
        found.tables[standard.values] = lines
        return []
    found.asked_tables[standard.values] = lines
    return [f"none of its values is known on both sides: fill the table {standard.values!r} below first"]


def _made(standard: Standard, ends: Ends, active: set[str]) -> Line | None:
    """A column that one CRM wants and the other has nothing for: a text, made at creation."""
    side: Side = "left" if ends["left"].system in standard.columns else "right"
    column = standard.columns[ends[side].system]
    parts = [part for part in standard.create.split(" - ") if part.strip("{}") in active]
    if not parts:
        return None
    body = cells(**{ends[side].name: column}, create=f'"{" - ".join(parts)}"')
    return Line(
        name=standard.name,
        confidence="sure",
        comment=f"only {ends[side].name} has it and wants it: made once, at creation",
        text=f"{standard.name}: {body}",
        columns={side: column},
    )


# --- what is asked ------------------------------------------------------------------------------------------------


def _lonely(lonely: Sequence[tuple[Standard, Side]], ends: Ends, taken: Mapping[Side, set[str]], found: Fields) -> None:
    """A standard column whose partner our user does not see; a custom one may have taken its place."""
    for standard, side in lonely:
        there = other(side)
        missing = standard.columns[ends[there].system]
        mine = ends[side].description.columns[standard.columns[ends[side].system]]
        rivals = list(_free(ends, there, taken))
        best = max(rivals, key=lambda c: columns_alike(mine, c), default=None)
        why = f"{ends[there].name} shows our user no {missing}"
        if best is None or columns_alike(mine, best) < ALIKE:
            found.lines.append(
                Line(name=standard.name, confidence="question", comment=f"{why}, the partner of {mine.name}")
            )
            continue
        taken[there].add(best.name)
        pair: dict[Side, DraftColumn] = {side: mine, there: best}
        found.lines.append(
            _asked(standard.name, pair, ends, f"{why}; is {_called(best)} the one to take?", found, standard.convert)
        )


def _alike(ends: Ends, taken: Mapping[Side, set[str]], found: Fields) -> None:
    """Columns nobody has spoken of yet, the most alike first."""
    rest = each_side(lambda side: list(_free(ends, side, taken)))
    scored = [
        (score, left, right)
        for left in rest["left"]
        for right in rest["right"]
        if (_custom(left) or _custom(right) or left.name == right.name)
        and _kind(left, right)
        and (score := columns_alike(left, right)) >= ALIKE
    ]
    used = each_side(lambda _: set[str]())
    for _, left, right in sorted(scored, key=lambda each: (-each[0], each[1].name, each[2].name)):
        if left.name in used["left"] or right.name in used["right"]:
            continue
        used["left"].add(left.name)
        used["right"].add(right.name)
        name = free_name(_bare(left.name), found.names, "field")
        why = f"are {_called(left)} and {_called(right)} the same? {_likeness(left, right)}"
        found.lines.append(_asked(name, {"left": left, "right": right}, ends, why, found))
    for side in SIDES:
        found.alone[side] = [c.name for c in rest[side] if _custom(c) and c.name not in used[side]]


def _free(ends: Ends, side: Side, taken: Mapping[Side, set[str]]) -> Iterator[DraftColumn]:
    return (
        column
        for column in ends[side].description.columns.values()
        if column.name not in taken[side]
        and column.name not in _OWN
        and (column.createable or column.updateable)
        and not column.name.lower().startswith("crmbridge_")  # our own key field
    )


def _custom(column: DraftColumn) -> bool:
    """Salesforce ends its custom names with `__c`, Dynamics begins them with a publisher's prefix."""
    prefix = _PUBLISHER.match(column.name)
    return column.name.endswith("__c") or (prefix is not None and prefix[1] not in _MAKERS_PREFIXES)


def _bare(name: str) -> str:
    return name.removesuffix("__c") if name.endswith("__c") else _PUBLISHER.sub("", name)


def _called(column: DraftColumn) -> str:
    return f"{column.name} ({column.label})" if column.label and column.label != column.name else column.name


def _likeness(left: DraftColumn, right: DraftColumn) -> str:
    kinds = f"both {left.type}" if left.type == right.type else f"{left.type} and {right.type}"
    lengths = f", {left.length} and {right.length} characters" if left.length and right.length else ""
    return f"({kinds}{lengths})"


def _kind(left: DraftColumn, right: DraftColumn) -> str:
    """How such a pair would be read; nothing where it cannot be."""
    kinds = frozenset({left.type, right.type})
    if kinds == frozenset({"lookup"}):
        shared = {t.casefold() for t in left.targets} & {t.casefold() for t in right.targets}
        return f"link {min(shared)}" if shared & set(_ENTITIES) else ""
    if kinds == frozenset({"choice"}):
        return "choice"
    if kinds == frozenset({"choice", "text"}):
        return "" if _numbered(left) or _numbered(right) else "text"
    return _PLAIN.get(kinds, "")


def _asked(
    name: str, pair: Mapping[Side, DraftColumn], ends: Ends, why: str, found: Fields, usual: str = "text"
) -> Line:
    kind, _, target = _kind(pair["left"], pair["right"]).partition(" ")
    if kind == "text" and usual in CONVERTERS and "text" in CONVERTERS[usual].fits:
        kind = usual
    table = ""
    if kind == "choice":
        table = free_name(name, {*found.tables, *found.asked_tables}, "table")
        lines = table_lines(None, ends, each_side(lambda side: pair[side].options))
        found.asked_tables[table] = lines
    lossy = sides_that(lambda side: bool(_loss(kind, pair, side)))
    body = cells(
        **{ends[side].name: yaml_word(pair[side].name) for side in SIDES},
        convert=kind if kind not in ("", "text", "choice", "link") else "",
        values=table,
        link=target if kind == "link" else "",
        lossy=named(lossy, ends),
    )
    return Line(
        name=name,
        confidence="question",
        comment=why,
        text=f"{name}: {body}" if kind else "",
        columns=each_side(lambda side: pair[side].name),
    )

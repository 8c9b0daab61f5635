"""What breaks on the first day, told in counts, each with its way out (lifecycle §6).

The connectors count inside their CRM; what needs both sides or the mapping is put together here. What cannot be read is
said to be open: an unanswered question is not a good answer.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

from connectors.survey import Questions, Survey, many
from crmbridge.cli.by_type import by_type
from crmbridge.errors import CrmBridgeError
from crmbridge.model import SIDES, Directory, Entity, Life, Side, other

if TYPE_CHECKING:
    from connectors.base import Connector, Description
    from crmbridge.cli.check import Findings
    from mapping import Compiled, Documents

SAMPLE_ROWS_MAX: Final = 2000
LISTED_MAX: Final = 10  # ids in a line


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    code: str
    title: str
    fix: str


# By their number in lifecycle §6 and in docs/howto/check.md.
BREAKERS: Final[Mapping[int, Breaker]] = {
    1: Breaker(
        code="needed-at-conversion",
        title="fields that a conversion's records need and no lead field feeds",
        fix="feed it in that CRM's own lead mapping, or give it a default there: else conversions are refused",
    ),
    2: Breaker(
        code="validation-rules",
        title="rules of a company that refuse what we write",
        fix="look through them for what our user must fill or may not touch, and let it pass or add `gates:`",
    ),
    3: Breaker(
        code="duplicate-rules",
        title="duplicate rules that block",
        fix="let those that our user meets report instead of block, above all contacts and accounts against leads",
    ),
    4: Breaker(
        code="record-types",
        title="record types with statuses and stages of their own",
        fix="give the rows words by record type where they differ, and our user each record type",
    ),
    5: Breaker(
        code="converted-by-label",
        title="leads that are called converted and are not",
        fix="convert them, or give them another status: until then they are shown as issues and written nowhere",
    ),
    6: Breaker(
        code="owners",
        title="owners who are queues, teams, inactive or unknown on the other side",
        fix="set default_owner, or name who stands for whom in a table of people (`values:`)",
    ),
    7: Breaker(
        code="persons",
        title="people without a company",
        fix="choose what becomes of them by `lifecycle: {convert: {contact_only: …, person_accounts: …}, "
        "close: {contact_customer: …}}`",
    ),
    8: Breaker(
        code="processes",
        title="several business processes",
        fix="give the stages words by process where they differ, and our user's role each process",
    ),
    9: Breaker(
        code="calculated-amounts",
        title="amounts that are calculated from products",
        fix="give the amount the rule of that side, because what is written to it there is not kept",
    ),
    10: Breaker(
        code="currencies",
        title="currencies that one side lacks",
        fix="activate the currency there: amounts are never converted, and are held until then",
    ),
    11: Breaker(
        code="other-writers",
        title="others that write or convert",
        fix="let only one of them convert, and look that none writes back what it reads",
    ),
    12: Breaker(
        code="rights",
        title="rights that our user lacks, and rights that are too much for it",
        fix="give it what is named, by a permission set or a role of its own, and take away what is too much",
    ),
    13: Breaker(
        code="twins",
        title="twins inside one side",
        fix="merge them before the first run, or add a key that tells them apart: it will hold each of them",
    ),
    14: Breaker(
        code="data-misfit",
        title="data that does not fit the other side",
        fix="correct it where it was typed, add what is unmapped to its table, lengthen the column there, or give the "
        "field a `create:` or a `filler:`",
    ),
    15: Breaker(
        code="own-words",
        title="statuses and stages of one's own",
        fix="add them to a row: the warning at the mapping's own line has one to paste",
    ),
}


def breakers(
    found: "Findings",
    connectors: "Mapping[Side, Connector]",
    compiled: "Compiled | None",
    documents: "Documents",
    descriptions: "Mapping[tuple[Side, Entity], Description]",
    directories: Mapping[Side, Directory],
    us: Mapping[Side, str],
) -> None:
    """`compiled`: what the connectors were configured for; None where the mapping is not right."""
    from connectors.base import Surveyor

    for side, connector in connectors.items():
        _needed(found, connector, descriptions, side)
        if side not in us or not isinstance(connector, Surveyor):
            continue
        try:
            survey = connector.survey(_questions(documents, descriptions, side))
        except CrmBridgeError as error:
            _open(found, connector, "what breaks on the first day", error.message)
            continue
        for one in survey.seen:
            _say(found, connector, one.number, one.what, warning=one.level == "warning")
        for one in survey.unread:
            _open(found, connector, one.what, one.why, BREAKERS[one.number].code)
        _owners(found, connectors, survey, directories, side, us[side])
        _currencies(found, connectors, survey, directories, side)
        _labels(found, connector, survey, descriptions, side)
        _types(found, connector, survey, descriptions, side)
        _unmapped(found, connector, survey, compiled, descriptions, side)
    if compiled is not None and len(directories) == len(SIDES):
        _sample(found, connectors, compiled, directories)


def _say(
    found: "Findings",
    connector: "Connector",
    number: int,
    what: str,
    *,
    warning: bool = True,
    ids: Iterable[str] = (),
) -> None:
    breaker = BREAKERS[number]
    level = "warning" if warning else "note"
    found.say(level, connector.name, f"{what}; {breaker.fix}", code=breaker.code, ids=ids)


def first_few(names: Sequence[str]) -> str:
    """Of a list that may be as long as a company is large; `--json` has all (`Line.ids`)."""
    more = len(names) - LISTED_MAX
    return f"{', '.join(names[:LISTED_MAX])}{f' and {more:,} more (--json lists all)' if more > 0 else ''}"


def _open(found: "Findings", connector: "Connector", what: str, why: str, code: str | None = None) -> None:
    found.say("note", connector.name, f"could not be checked: {what}: {why}; look there by hand", code=code)


def compiled_if_right(
    documents: "Documents", descriptions: "Mapping[tuple[Side, Entity], Description]"
) -> "Compiled | None":
    """None where the mapping has errors: they are told, and come first."""
    import mapping
    from crmbridge.errors import ConfigError

    if len(descriptions) < len(SIDES) * len(documents) or not len(documents):
        return None
    try:
        return mapping.compile(documents, descriptions=descriptions)
    except ConfigError:
        return None


# --- what one side tells ------------------------------------------------------------------------------------------

# What both CRMs fill or ask for by themselves when they convert.
_CONVERSION_FEEDS: Final = frozenset(
    {"Name", "LastName", "StageName", "CloseDate", "OwnerId", "CurrencyIsoCode"}
    | {"name", "lastname", "ownerid", "statecode", "customerid", "transactioncurrencyid"}
)


def _needed(
    found: "Findings",
    connector: "Connector",
    descriptions: "Mapping[tuple[Side, Entity], Description]",
    side: Side,
) -> None:
    for entity in ("account", "contact", "opportunity"):
        description = descriptions.get((side, entity))
        if description is None:
            continue
        needed = [c.name for c in description.columns.values() if c.required and c.createable]
        beyond = [name for name in needed if name not in _CONVERSION_FEEDS]
        if beyond:
            _say(found, connector, 1, f"{entity}: {', '.join(sorted(beyond))} {_is(beyond)} needed for a new record")


def _is(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _questions(
    documents: "Documents", descriptions: "Mapping[tuple[Side, Entity], Description]", side: Side
) -> Questions:
    """The keys of `match:` whose columns can be grouped by: plain ones that this side has."""
    keys: dict[Entity, tuple[tuple[str, ...], ...]] = {}
    for document in documents:
        description = descriptions.get((side, document.entity))
        told: list[tuple[str, ...]] = []
        for key in document.match:
            fields = [document.fields[name] for name in key if name in document.fields]
            columns = [
                doc.columns[side].column for doc in fields if side in doc.columns and not doc.columns[side].parts
            ]
            known = description.columns if description is not None else {}
            groupable = all(c in known and known[c].type in ("text", "choice") for c in columns)
            if len(columns) == len(key) and groupable and all((known[c].length or 0) <= 255 for c in columns):
                told.append(tuple(columns))
        if told:
            keys[document.entity] = tuple(told)
    return Questions(keys=keys)


def _labels(
    found: "Findings",
    connector: "Connector",
    survey: Survey,
    descriptions: "Mapping[tuple[Side, Entity], Description]",
    side: Side,
) -> None:
    description = descriptions.get((side, "lead"))
    flagged = {o.value for o in description.statuses if o.state == "converted"} if description else set()
    count = sum(n for status, n in survey.unconverted.items() if status in flagged)
    if count:
        what = many(count, "lead has a converted status and was", "leads have a converted status and were")
        _say(found, connector, 5, f"{what} never converted")


def _types(
    found: "Findings",
    connector: "Connector",
    survey: Survey,
    descriptions: "Mapping[tuple[Side, Entity], Description]",
    side: Side,
) -> None:
    """Open records of each record type; which of them our user may not use, or stand where their type has no place."""
    for entity, counts in survey.types.items():
        description = descriptions.get((side, entity))
        if description is None or not description.record_types:
            continue
        told = by_type(entity, counts, description)
        noun = "leads" if entity == "lead" else "opportunities"
        if told.each:
            listed = ", ".join(f"{name} {count:,}" for name, count in told.each.most_common())
            _say(found, connector, 4, f"open {noun} by record type: {listed}", warning=False)
        for names, what in (
            (told.closed_to_us, "record types that our user may not use"),
            (told.no_converted, "record types that offer no converted status"),
            (
                told.astray,
                f"record types that do not offer the {'status' if entity == 'lead' else 'stage'} that they have",
            ),
        ):
            if names:
                listed = ", ".join(f"{name} {count:,}" for name, count in names.most_common())
                _say(found, connector, 4, f"open {noun} of {what}: {listed}")


def _unmapped(
    found: "Findings",
    connector: "Connector",
    survey: Survey,
    compiled: "Compiled | None",
    descriptions: "Mapping[tuple[Side, Entity], Description]",
    side: Side,
) -> None:
    for entity, counts in survey.statuses.items():
        one = compiled.entities.get(entity) if compiled is not None else None
        description = descriptions.get((side, entity))
        if one is None or one.status is None or description is None:
            continue
        options = {option.value: option for option in description.statuses}
        for status, count in counts.items():
            option = options.get(status)
            if connector.system == "dynamics" and entity == "opportunity" and option is None:
                continue  # an open one's place is its stage, in its process
            life = Life(state=option.state if option is not None else None, status=status)  # type: ignore[arg-type]
            if one.status.read(side, life, None).unmapped:
                label = option.label if option is not None else str(status)
                _say(
                    found,
                    connector,
                    15,
                    f"{many(count, f'{entity} has', f'{entity} records have')} {label!r}, in no row",
                )


# --- what needs both sides ----------------------------------------------------------------------------------------


def _owners(
    found: "Findings",
    connectors: "Mapping[Side, Connector]",
    survey: Survey,
    directories: Mapping[Side, Directory],
    side: Side,
    us: str,
) -> None:
    there = other(side)
    if side not in directories or there not in directories:
        return
    mine, theirs = directories[side], directories[there]
    for entity, owners in survey.owners.items():
        inactive: dict[str, int] = {}
        without: dict[str, int] = {}
        for owner, count in sorted(owners.items(), key=lambda one: (-one[1], one[0])):
            email = mine.users.get(owner)
            if email is None or owner == us:
                continue  # a queue or a team: counted by the CRM itself
            if mine.user_ids.get(email) != owner:
                inactive[owner] = count
            elif email not in theirs.user_ids:
                without[owner] = count
        records = "open leads belong" if entity == "lead" else "open opportunities belong"
        record = records.replace("leads", "lead").replace("opportunities", "opportunity").replace("belong", "belongs")
        for some, who in (
            (inactive, "users who are not active"),
            (without, f"users without a partner on {connectors[there].name}"),
        ):
            if some:
                listed = first_few([f"{owner} ({count:,})" for owner, count in some.items()])
                what = f"{many(sum(some.values()), record, records)} to {who}: {listed}"
                _say(found, connectors[side], 6, what, ids=some)


def _currencies(
    found: "Findings",
    connectors: "Mapping[Side, Connector]",
    survey: Survey,
    directories: Mapping[Side, Directory],
    side: Side,
) -> None:
    there = other(side)
    if side not in directories or there not in directories:
        return
    theirs = directories[there]
    known = set(theirs.currencies.values()) | {theirs.currency} if theirs.multi_currency else {theirs.currency}
    known |= set(theirs.currencies.values())
    named = directories[side].currencies
    counts = {named.get(native, native): count for native, count in survey.currencies.items()}
    lost = {iso: count for iso, count in counts.items() if iso not in known}
    if lost:
        total = many(sum(lost.values()), "open opportunity is", "open opportunities are")
        _say(found, connectors[side], 10, f"{total} in {', '.join(sorted(lost))}, which {connectors[there].name} lacks")


def _sample(
    found: "Findings",
    connectors: "Mapping[Side, Connector]",
    compiled: "Compiled",
    directories: Mapping[Side, Directory],
) -> None:
    """The newest page of each table, put through the mapping: what would be held as it is. Nothing is kept of it."""
    import mapping

    facts = mapping.Facts(directory=directories)
    for side in SIDES:
        there, connector = other(side), connectors[side]
        for entity, one in compiled.entities.items():
            try:
                pages = islice(connector.changes(entity, None), 1)
                rows = list(islice(chain.from_iterable(page.rows for page in pages), SAMPLE_ROWS_MAX))
            except CrmBridgeError as error:
                _open(found, connector, f"whether {entity} records fit", error.message, BREAKERS[14].code)
                continue
            held: Counter[tuple[str, str]] = Counter()
            for row in rows:
                shared = one.get(side, row, connector.life(row), facts)
                put = one.put(
                    there, shared.fields, facts=facts, current=None, life=None, state=shared.state, whole=shared
                )
                problems = {(p.field, p.cause) for p in (*shared.problems, *put.problems) if p.field}
                held.update(problem for problem in problems if problem[1] not in _NOT_DATA)
            if held:
                causes = ", ".join(f"{field} {cause} {count}" for (field, cause), count in held.most_common())
                what = f"of {many(len(rows), entity, f'{entity} records')} looked at, these fields would be held"
                _say(found, connector, 14, f"{what}: {causes}")


# Told elsewhere, with counts of their own; and links, whose partners a first run makes.
_NOT_DATA: Final = frozenset({"unlinked", "unmapped_status", "owner_not_user", "no_such_user"})

"""What an org has that breaks synchronization on its first day, in counts (lifecycle §6).

A dozen aggregate queries in a few composite calls; each is answered by itself, and one that the org refuses (an object
that its edition lacks, a right that our user lacks) leaves its question open and stops nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from connectors.salesforce import protocol, soql
from connectors.salesforce.client import Client
from connectors.salesforce.protocol import Call, Meaning
from connectors.salesforce.rows import OBJECTS
from connectors.survey import Questions, Seen, Survey, Unread, many
from crmbridge.errors import CrmBridgeError
from crmbridge.model import Entity

QUEUE: Final = "00G"  # key prefix of a group: a queue owns its records
_OBJECTS: Final = "'Lead', 'Account', 'Contact', 'Opportunity'"
# What has record types with statuses of their own: the status, and the flag of those that are done with.
_KINDS: Final[tuple[tuple[Entity, str, str], ...]] = (
    ("lead", "Status", "IsConverted"),
    ("opportunity", "StageName", "IsClosed"),
)
_FROM_RULES: Final = "SELECT {} FROM ValidationRule"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ask:
    name: str
    number: int
    what: str  # what stays open where it is not answered
    statement: str
    table: str


def _counted(by: str, table: str, *where: str) -> str:
    """How many rows there are, of each kind if `by` says which."""
    columns = f"{by}, COUNT(Id) n" if by else "COUNT(Id) n"
    parts = ["SELECT", columns, "FROM", table]  # words of this module, and names that `soql.name` has looked at
    parts += ["WHERE", " AND ".join(where)] if where else []
    parts += ["GROUP BY", by] if by else []
    return " ".join(parts)


def _asks(questions: Questions) -> list[_Ask]:
    asks = [
        _Ask(
            name="duplicates",
            number=3,
            what="which duplicate rules are active",
            statement=_counted("SobjectType", "DuplicateRule", "IsActive = true", f"SobjectType IN ({_OBJECTS})"),
            table="DuplicateRule",
        ),
        _Ask(
            name="types",
            number=4,
            what="how many record types there are",
            statement=_counted("SobjectType", "RecordType", "IsActive = true", f"SobjectType IN ({_OBJECTS})"),
            table="RecordType",
        ),
        *(
            _Ask(
                name=f"{entity}_types",
                number=4,
                what=f"how many open {OBJECTS[entity]} records there are of each record type",
                statement=_counted(f"RecordTypeId, {status}", OBJECTS[entity], f"{closed} = false"),
                table=OBJECTS[entity],
            )
            for entity, status, closed in _KINDS
        ),
        _Ask(
            name="leads",
            number=5,
            what="how many leads have which status",
            statement=_counted("Status, IsConverted", "Lead"),
            table="Lead",
        ),
        _Ask(
            name="stages",
            number=15,
            what="how many opportunities are at which stage",
            statement=_counted("StageName", "Opportunity"),
            table="Opportunity",
        ),
        _Ask(
            name="lead_owners",
            number=6,
            what="who owns open leads",
            statement=_counted("OwnerId", "Lead", "IsConverted = false"),
            table="Lead",
        ),
        _Ask(
            name="opportunity_owners",
            number=6,
            what="who owns open opportunities",
            statement=_counted("OwnerId", "Opportunity", "IsClosed = false"),
            table="Opportunity",
        ),
        _Ask(
            name="persons",
            number=7,
            what="whether there are person accounts",
            statement=_counted("", "Account", "IsPersonAccount = true"),
            table="Account",
        ),
        _Ask(
            name="companies",
            number=7,
            what="how many leads have no company",
            statement=_counted("", "Lead", "IsConverted = false", "Company = null"),
            table="Lead",
        ),
        _Ask(
            name="products",
            number=9,
            what="how many opportunities have products",
            statement=_counted("", "Opportunity", "HasOpportunityLineItem = true", "IsClosed = false"),
            table="Opportunity",
        ),
        _Ask(
            name="currencies",
            number=10,
            what="in which currencies open opportunities are",
            statement=_counted("CurrencyIsoCode", "Opportunity", "IsClosed = false"),
            table="Opportunity",
        ),
        _Ask(
            name="converters",
            number=11,
            what="who converted leads in the last 30 days",
            statement=_counted("LastModifiedById", "Lead", "IsConverted = true", "ConvertedDate = LAST_N_DAYS:30"),
            table="Lead",
        ),
        _Ask(
            name="flows",
            number=11,
            what="which record-triggered flows are active",
            statement=_counted(
                "TriggerObjectOrEventLabel",
                "FlowDefinitionView",
                "IsActive = true",
                f"TriggerObjectOrEventLabel IN ({_OBJECTS})",
            ),
            table="FlowDefinitionView",
        ),
        _Ask(
            name="triggers",
            number=11,
            what="which Apex triggers are active",
            statement=_counted("TableEnumOrId", "ApexTrigger", "Status = 'Active'", f"TableEnumOrId IN ({_OBJECTS})"),
            table="ApexTrigger",
        ),
    ]
    for entity, keys in questions.keys.items():
        for n, columns in enumerate(keys):
            asks.append(_twins(entity, n, columns))
    return asks


def _twins(entity: Entity, number: int, columns: Sequence[str]) -> _Ask:
    named = ", ".join(soql.name(column) for column in columns)
    filled = [f"{soql.name(column)} != null" for column in columns]
    open_ = {"lead": ["IsConverted = false"], "opportunity": ["IsClosed = false"]}.get(entity, [])
    table = OBJECTS[entity]
    return _Ask(
        name=f"twins {entity} {number}",
        number=13,
        what=f"how many {entity} records share {' and '.join(columns)}",
        # Of each group only its size is read, not what its records share.
        statement=f"{_counted('', table, *filled, *open_)} GROUP BY {named} "
        "HAVING COUNT(Id) > 1 ORDER BY COUNT(Id) DESC LIMIT 2000",
        table=table,
    )


class Surveyor:
    def __init__(self, client: Client) -> None:
        self._client = client

    def survey(self, questions: Questions) -> Survey:
        asks = _asks(questions)
        seen: list[Seen] = []
        unread: list[Unread] = []
        answers: dict[str, list[dict[str, Any]]] = {}
        for start in range(0, len(asks), protocol.composite_reads_max):
            some = asks[start : start + protocol.composite_reads_max]
            for ask, answer in zip(some, self._answers(some), strict=True):
                if isinstance(answer, str):
                    if not _is_absent(ask, answer):
                        unread.append(Unread(number=ask.number, what=ask.what, why=answer))
                else:
                    answers[ask.name] = answer
        seen += _judged(answers)
        self._validation(seen, unread)
        unread.append(
            Unread(
                number=1,
                what="which lead fields feed required fields of account, contact and opportunity at a conversion",
                why="only the Metadata API tells (LeadConvertSettings)",
            )
        )
        unread.append(
            Unread(
                number=2,
                what="whether validation rules, triggers and flows are run at a conversion",
                why="only the Metadata API tells (shouldLeadConvertRequireValidation of the lead settings)",
            )
        )
        if any(int(each["n"]) > 1 for each in answers.get("types", ())):
            unread.append(
                Unread(
                    number=4,
                    what="whether those who shall own new records may use their record types",
                    why="the API tells our own user's alone; those of others are told by the Metadata API (Profile)",
                )
            )
        return Survey(
            seen=tuple(seen),
            unread=tuple(unread),
            owners={
                entity: {soql.id18(str(each["OwnerId"])): each["n"] for each in answers.get(f"{entity}_owners", ())}
                for entity in ("lead", "opportunity")
            },
            currencies={str(each["CurrencyIsoCode"]): each["n"] for each in answers.get("currencies", ())},
            types={
                entity: {
                    (soql.id18(each["RecordTypeId"]) if each["RecordTypeId"] else None, str(each[status])): int(
                        each["n"]
                    )
                    for each in answers[f"{entity}_types"]
                }
                for entity, status, _ in _KINDS
                if f"{entity}_types" in answers
            },
            unconverted=_by([each for each in answers.get("leads", ()) if not each["IsConverted"]], "Status"),
            statuses={
                "lead": _by(answers.get("leads", ()), "Status"),
                "opportunity": _by(answers.get("stages", ()), "StageName"),
            },
        )

    def _answers(self, asks: Sequence[_Ask]) -> list[list[dict[str, Any]] | str]:
        """Each ask's records, or why there are none."""
        call = protocol.composite_read([protocol.query(ask.statement, ask.table) for ask in asks])
        try:
            parts = protocol.composite_bodies(self._client.read(call).body, len(asks))
        except CrmBridgeError as error:
            return [error.message] * len(asks)
        return [_records(ask.table, what, body) for ask, (what, body) in zip(asks, parts, strict=True)]

    def _validation(self, seen: list[Seen], unread: list[Unread]) -> None:
        """Texts of rules are the company's own words, so only their number is told (§6, row 2)."""
        # Grouping is (unverified) in the Tooling API, so the rules are counted here.
        column = "EntityDefinition.QualifiedApiName"
        statement = f"{_FROM_RULES.format(column)} WHERE Active = true AND {column} IN ({_OBJECTS})"
        plain = protocol.query(statement, "ValidationRule")
        call = Call(
            method="GET",
            path=plain.path.replace("/query?", "/tooling/query?"),
            kind="query",
            table="ValidationRule",
            reads=True,
        )
        try:
            answer = self._client.run(call)
        except CrmBridgeError as error:
            unread.append(Unread(number=2, what="which validation rules are active", why=error.message))
            return
        records = _records("ValidationRule", self._client.meaning(answer), answer.body)
        if isinstance(records, str):
            unread.append(Unread(number=2, what="which validation rules are active", why=records))
            return
        counts: dict[str, int] = {}
        for each in records:
            name = str((each.get("EntityDefinition") or {}).get("QualifiedApiName"))
            counts[name] = counts.get(name, 0) + 1
        if counts:
            seen.append(Seen(number=2, what=f"active validation rules: {_listed(counts)}"))


def _records(table: str, what: Meaning, body: bytes) -> list[dict[str, Any]] | str:
    if what.kind != "done":
        if what.code == "INVALID_TYPE":
            return f"this org has no {table}, or our user may not see it ({what.code})"
        return f"{what.message.rpartition('ERROR at ')[2]} ({what.code})"
    try:
        return list(msgspec.json.decode(body)["records"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return "the answer was not understood"


def _is_absent(ask: _Ask, why: str) -> bool:
    """A field that only exists where its feature is switched on: its absence is the answer."""
    features = ("persons", "currencies", "products", *(f"{entity}_types" for entity, *_ in _KINDS))
    return ask.name in features and "INVALID_FIELD" in why


def _judged(answers: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Seen]:
    seen: list[Seen] = []
    rules = _by(answers.get("duplicates", ()), "SobjectType")
    if rules:
        seen.append(Seen(number=3, what=f"active duplicate rules: {_listed(rules)}"))
    types = {name: n for name, n in _by(answers.get("types", ()), "SobjectType").items() if n > 1}
    if types:
        seen.append(Seen(number=4, what=f"several record types: {_listed(types)}", level="note"))
    seen += _owned(answers)
    persons, companies = _count(answers, "persons"), _count(answers, "companies")
    if persons:
        seen.append(Seen(number=7, what=many(persons, "account is a person account", "accounts are person accounts")))
    if companies:
        seen.append(Seen(number=7, what=many(companies, "open lead has no company", "open leads have no company")))
    products = _count(answers, "products")
    if products:
        what = many(products, "open opportunity has products", "open opportunities have products")
        seen.append(Seen(number=9, what=f"{what}, so its amount is calculated"))
    converters = [each["n"] for each in answers.get("converters", ())]
    if converters:
        what = f"{many(sum(converters), 'lead was', 'leads were')} converted in the last 30 days by "
        seen.append(Seen(number=11, what=what + many(len(converters), "user", "users"), level="note"))
    for name, column, words in (
        ("flows", "TriggerObjectOrEventLabel", "active record-triggered flows"),
        ("triggers", "TableEnumOrId", "active Apex triggers"),
    ):
        counts = _by(answers.get(name, ()), column)
        if counts:
            seen.append(Seen(number=11, what=f"{words}: {_listed(counts)}", level="note"))
    for name, groups in answers.items():
        if name.startswith("twins ") and groups:
            _, entity, number = name.split()
            total = sum(each["n"] for each in groups)
            at_least = "at least " if len(groups) == 2000 else ""
            seen.append(
                Seen(
                    number=13,
                    what=f"{at_least}{total:,} {entity} records share key {int(number) + 1} of `match:` with another "
                    f"({many(len(groups), 'group', 'groups')})",
                )
            )
    return seen


def _owned(answers: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Seen]:
    found: list[Seen] = []
    for entity, words in (("lead", ("open lead belongs to a queue", "open leads belong to queues")),):
        queued = sum(
            each["n"] for each in answers.get(f"{entity}_owners", ()) if str(each["OwnerId"]).startswith(QUEUE)
        )
        if queued:
            found.append(Seen(number=6, what=many(queued, *words)))
    return found


def _by(records: Sequence[Mapping[str, Any]], column: str) -> dict[str | int, int]:
    found: dict[str | int, int] = {}
    for each in records:
        if each.get(column) is not None:
            found[each[column]] = found.get(each[column], 0) + int(each["n"])
    return found


def _count(answers: Mapping[str, Sequence[Mapping[str, Any]]], name: str) -> int:
    return sum(int(each["n"]) for each in answers.get(name, ()))


def _listed(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda one: str(one[0])))

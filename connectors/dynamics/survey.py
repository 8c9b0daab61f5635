"""What an environment has that breaks synchronization on its first day, in counts (lifecycle §6).

Aggregates in one $batch, and two more about business processes: each is answered by itself, and one that is refused
(over 50,000 rows, a right that our user lacks) leaves its question open and stops nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from connectors.dynamics.client import Client, Reply
from connectors.dynamics.processes import Process, path_request
from connectors.dynamics.protocol import Request, read, text_literal
from connectors.dynamics.survey_processes import COUNT, NO_PROCESS, SAMPLES_MAX, at_stages, newest, processed
from connectors.survey import Questions, Seen, Survey, Unread, many
from crmbridge.model import Entity

_SETS: Final[Mapping[Entity, str]] = {
    "lead": "leads",
    "opportunity": "opportunities",
    "account": "accounts",
    "contact": "contacts",
}
_TABLES: Final = tuple(_SETS)
_RULE, _FLOW, _WORKFLOW = 2, 4, 0  # workflow.category: business rule, business process flow, workflow


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ask:
    name: str
    number: int
    what: str
    path: str
    table: str
    apply: str | None = None
    select: str | None = None
    filter: str | None = None


def _any(column: str) -> str:
    return " or ".join(f"{column} eq {text_literal(table)}" for table in _TABLES)


def _asks(questions: Questions, now: datetime) -> list[_Ask]:
    since = (now - timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    count = COUNT
    asks = [
        _Ask(
            name="rules",
            number=2,
            what="which business rules are active",
            path="workflows",
            table="workflow",
            apply=f"filter(category eq {_RULE} and statecode eq 1 and ({_any('primaryentity')}))/"
            f"groupby((primaryentity),{count})",
        ),
        _Ask(
            name="duplicates",
            number=3,
            what="which duplicate rules are published",
            path="duplicaterules",
            table="duplicaterule",
            select="baseentityname,matchingentityname,excludeinactiverecords",
            filter=f"statecode eq 1 and ({_any('baseentityname')})",
        ),
        _Ask(
            name="leads",
            number=5,
            what="how many leads have which status reason",
            path="leads",
            table="lead",
            apply=f"groupby((statuscode),{count})",
        ),
        _Ask(
            name="opportunities",
            number=15,
            what="how many opportunities have which status reason",
            path="opportunities",
            table="opportunity",
            apply=f"groupby((statuscode),{count})",
        ),
        _Ask(
            name="lead_owners",
            number=6,
            what="who owns open leads",
            path="leads",
            table="lead",
            apply=f"filter(statecode eq 0)/groupby((_ownerid_value),{count})",
        ),
        _Ask(
            name="opportunity_owners",
            number=6,
            what="who owns open opportunities",
            path="opportunities",
            table="opportunity",
            apply=f"filter(statecode eq 0)/groupby((_ownerid_value),{count})",
        ),
        _Ask(
            name="teams",
            number=6,
            what="how many open leads belong to teams",
            path="leads",
            table="lead",
            apply=f"filter(statecode eq 0 and _owningteam_value ne null)/{count}",
        ),
        _Ask(
            name="companies",
            number=7,
            what="how many leads have no company",
            path="leads",
            table="lead",
            apply=f"filter(statecode eq 0 and companyname eq null)/{count}",
        ),
        _Ask(
            name="topics",
            number=14,
            what="how many leads have no topic",
            path="leads",
            table="lead",
            apply=f"filter(statecode eq 0 and subject eq null)/{count}",
        ),
        _Ask(
            name="persons",
            number=7,
            what="how many opportunities have a contact as customer",
            path="opportunities",
            table="opportunity",
            apply=f"filter(statecode eq 0 and _parentaccountid_value eq null and _customerid_value ne null)/{count}",
        ),
        _Ask(
            name="flows",
            number=8,
            what="which business process flows are active",
            path="workflows",
            table="workflow",
            apply=f"filter(category eq {_FLOW} and statecode eq 1 and ({_any('primaryentity')}))/"
            f"groupby((primaryentity),{count})",
        ),
        _Ask(
            name="products",
            number=9,
            what="how many opportunities have a calculated amount",
            path="opportunities",
            table="opportunity",
            apply=f"filter(statecode eq 0 and isrevenuesystemcalculated eq true)/{count}",
        ),
        _Ask(
            name="currencies",
            number=10,
            what="in which currencies open opportunities are",
            path="opportunities",
            table="opportunity",
            apply=f"filter(statecode eq 0)/groupby((_transactioncurrencyid_value),{count})",
        ),
        _Ask(
            name="converters",
            number=11,
            what="who qualified leads in the last 30 days",
            path="leads",
            table="lead",
            apply=f"filter(statecode eq 1 and modifiedon ge {since})/groupby((_modifiedby_value),{count})",
        ),
        _Ask(
            name="workflows",
            number=11,
            what="which real-time workflows are active",
            path="workflows",
            table="workflow",
            apply=f"filter(category eq {_WORKFLOW} and mode eq 1 and statecode eq 1 and ({_any('primaryentity')}))/"
            f"groupby((primaryentity),{count})",
        ),
        _Ask(
            name="plugins",
            number=11,
            what="how many plug-in steps of others are registered",
            path="sdkmessageprocessingsteps",
            table="sdkmessageprocessingstep",
            apply=f"filter(statecode eq 0 and ishidden/Value eq false and iscustomizable/Value eq true)/{count}",
        ),
    ]
    for entity, keys in questions.keys.items():
        for n, columns in enumerate(keys):
            asks.append(_twins(entity, n, columns))
    return asks


def _twins(entity: Entity, number: int, columns: Sequence[str]) -> _Ask:
    state = {"lead": "statecode eq 0", "opportunity": "statecode eq 0"}.get(entity, "statecode eq 0")
    filled = " and ".join([state, *(f"{column} ne null" for column in columns)])
    return _Ask(
        name=f"twins {entity} {number}",
        number=13,
        what=f"how many {entity} records share {' and '.join(columns)}",
        path=_SETS[entity],
        table=entity,
        apply=f"filter({filled})/groupby(({','.join(columns)}),aggregate($count as n))",
    )


class Surveyor:
    """`processes`: those that opportunities may run in."""

    def __init__(self, client: Client, now: datetime, processes: Sequence[Process] = ()) -> None:
        self._client, self._now, self._processes = client, now, processes

    def survey(self, questions: Questions) -> Survey:
        asks = _asks(questions, self._now)
        requests = [
            read(ask.path, table=ask.table, kind="survey", apply=ask.apply, select=ask.select, filter=ask.filter)
            for ask in asks
        ]
        answers: dict[str, list[dict[str, Any]]] = {}
        unread: list[Unread] = []
        for ask, reply in zip(asks, self._client.write_all(requests, kind="survey"), strict=True):
            answer = _rows(reply) if isinstance(reply, Reply) else "the answer was not understood"
            if isinstance(answer, str):
                unread.append(Unread(number=ask.number, what=ask.what, why=answer))
            else:
                answers[ask.name] = answer
        owned = answers.get("opportunity_owners")
        deals = sum(int(each["n"]) for each in owned) if owned is not None else None
        seen = [*_judged(answers), *self._running(deals, unread)]
        return Survey(
            seen=tuple(seen),
            unread=tuple(unread),
            owners={
                entity: {str(each["_ownerid_value"]): each["n"] for each in answers.get(f"{entity}_owners", ())}
                for entity in ("lead", "opportunity")
            },
            currencies={
                str(each["_transactioncurrencyid_value"]): each["n"]
                for each in answers.get("currencies", ())
                if each.get("_transactioncurrencyid_value")
            },
            statuses={
                "lead": _by(answers.get("leads", ()), "statuscode"),
                "opportunity": _by(answers.get("opportunities", ()), "statuscode"),
            },
        )

    def _running(self, deals: int | None, unread: list[Unread]) -> Sequence[Seen]:
        """Business processes as open opportunities run in them: two batches, the second of at most `SAMPLES_MAX`
        paths."""
        if not self._processes:
            return () if not deals else (Seen(number=8, what=NO_PROCESS, level="note"),)
        requests = [each for process in self._processes for each in (at_stages(process), newest(process))]
        replies = self._answers(requests)
        running: dict[str, int] = {}
        samples: list[tuple[Process, dict[str, Any]]] = []
        for process, counted, youngest in zip(self._processes, replies[::2], replies[1::2], strict=True):
            if isinstance(counted, str) or isinstance(youngest, str):
                why = counted if isinstance(counted, str) else str(youngest)
                what = f"how many opportunities run in the business process {process.name or process.table}"
                unread.append(Unread(number=8, what=what, why=why))
            else:
                running[process.name or process.table] = sum(int(each["n"]) for each in counted)
                samples += [(process, each) for each in youngest]
        samples.sort(key=lambda one: str(one[1].get("modifiedon") or ""), reverse=True)
        samples = samples[:SAMPLES_MAX]
        paths = self._answers([path_request(str(row[process.key])) for process, row in samples])
        return processed(running, deals, [(*one, path) for one, path in zip(samples, paths, strict=True)], unread)

    def _answers(self, requests: Sequence[Request]) -> list[list[dict[str, Any]] | str]:
        """Each one's rows, or why there are none."""
        replies = self._client.write_all(requests, kind="survey") if requests else []
        return [_rows(each) if isinstance(each, Reply) else "the answer was not understood" for each in replies]


def _rows(reply: Reply) -> list[dict[str, Any]] | str:
    if not reply.done:
        return f"{reply.meaning.message} ({reply.meaning.code})"
    try:
        body = msgspec.json.decode(reply.body)
        return list(body["value"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return "the answer was not understood"


def _judged(answers: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Seen]:
    seen: list[Seen] = []
    rules = _by(answers.get("rules", ()), "primaryentity")
    if rules:
        seen.append(Seen(number=2, what=f"active business rules: {_listed(rules)}"))
    duplicates = answers.get("duplicates", ())
    if duplicates:
        pairs: dict[str, int] = {}
        for each in duplicates:
            pair = f"{each.get('baseentityname')} against {each.get('matchingentityname')}"
            pairs[pair] = pairs.get(pair, 0) + 1
        seen.append(Seen(number=3, what=f"published duplicate rules: {_listed(pairs)}"))
    teams = _count(answers, "teams")
    if teams:
        seen.append(Seen(number=6, what=many(teams, "open lead belongs to a team", "open leads belong to teams")))
    companies, persons = _count(answers, "companies"), _count(answers, "persons")
    if companies:
        seen.append(Seen(number=7, what=many(companies, "open lead has no company", "open leads have no company")))
    if persons:
        what = many(persons, "open opportunity has", "open opportunities have")
        seen.append(Seen(number=7, what=f"{what} a contact as customer and no account"))
    flows = _by(answers.get("flows", ()), "primaryentity")
    if any(n > 1 for n in flows.values()):
        seen.append(Seen(number=8, what=f"several active business process flows: {_listed(flows)}", level="note"))
    lacking = [table for table in ("lead", "opportunity") if table not in flows]
    if "flows" in answers and lacking:
        seen.append(
            Seen(
                number=8, what=f"no active business process flow begins on {' or '.join(lacking)} records", level="note"
            )
        )
    products = _count(answers, "products")
    if products:
        seen.append(
            Seen(
                number=9,
                what=many(
                    products, "open opportunity has a calculated amount", "open opportunities have a calculated amount"
                ),
            )
        )
    converters = [int(each["n"]) for each in answers.get("converters", ())]
    if converters:
        what = f"{many(sum(converters), 'lead was', 'leads were')} qualified in the last 30 days, last edited by "
        seen.append(Seen(number=11, what=what + many(len(converters), "user", "users"), level="note"))
    workflows = _by(answers.get("workflows", ()), "primaryentity")
    if workflows:
        seen.append(Seen(number=11, what=f"active real-time workflows: {_listed(workflows)}", level="note"))
    steps = _count(answers, "plugins")
    if steps:
        seen.append(Seen(number=11, what=many(steps, "plug-in step", "plug-in steps") + " of others", level="note"))
    topics = _count(answers, "topics")
    if topics:
        seen.append(
            Seen(number=14, what=many(topics, "open lead has no topic", "open leads have no topic"), level="note")
        )
    for name, groups in answers.items():
        if name.startswith("twins "):
            _, entity, number = name.split()
            alike = [int(each["n"]) for each in groups if int(each["n"]) > 1]
            if alike:
                seen.append(
                    Seen(
                        number=13,
                        what=f"{sum(alike):,} {entity} records share key {int(number) + 1} of `match:` with another "
                        f"({many(len(alike), 'group', 'groups')})",
                    )
                )
    return seen


def _by(rows: Sequence[Mapping[str, Any]], column: str) -> dict[str | int, int]:
    return {each[column]: int(each["n"]) for each in rows if each.get(column) is not None}


def _count(answers: Mapping[str, Sequence[Mapping[str, Any]]], name: str) -> int:
    return sum(int(each["n"]) for each in answers.get(name, ()))


def _listed(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda one: str(one[0])))

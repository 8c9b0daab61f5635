"""What stands in both CRMs at the end, held against what people did: from its dump and the store."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from crmbridge.state.store import Store
from tests.chaos.people import Journey

Rows = Mapping[str, Mapping[str, Any]]  # by id
CREATED: Final = {"Lead", "Account", "Contact", "Opportunity", "lead", "account", "contact", "opportunity"}
_KEYS: Final = {
    "account": "accountid",
    "contact": "contactid",
    "lead": "leadid",
    "opportunity": "opportunityid",
    "opportunityclose": "activityid",
}
_ENTITY: Final = {"Lead": "lead", "Account": "account", "Contact": "contact", "Opportunity": "opportunity"}


@dataclass(kw_only=True)
class Verdict:
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)  # shapes, links, journal
    mirrored: int = 0
    numbers: Counter[str] = field(default_factory=Counter)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.wrong)


class World:
    """One dump, by table and id; what is deleted does not count."""

    def __init__(self, dump: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]) -> None:
        self.tables: dict[str, dict[str, Mapping[str, Any]]] = defaultdict(dict)
        for crm in ("salesforce", "dynamics"):
            for table, rows in dump[crm].items():
                key = _KEYS.get(table, "Id")
                for row in rows:
                    if key in row and not row.get("IsDeleted"):
                        self.tables[table][row[key]] = row

    def by(self, table: str, column: str) -> dict[Any, list[Mapping[str, Any]]]:
        found: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
        for row in self.tables[table].values():
            found[row.get(column)].append(row)
        return found

    def ids(self) -> set[str]:
        return {id for table in CREATED for id in self.tables[table]}


def doubles(world: World, journeys: Iterable[Journey]) -> list[str]:
    """Records that are there more than once, by what people know them by."""
    found: list[str] = []
    names = {
        "lead": ("Lead", "Email", "lead", "emailaddress1"),
        "contact": ("Contact", "Email", "contact", "emailaddress1"),
        "account": ("Account", "Name", "account", "name"),
        "opportunity": ("Opportunity", "Name", "opportunity", "name"),
    }
    for entity, (sf, sf_column, dv, dv_column) in names.items():
        for crm, table, column in (("salesforce", sf, sf_column), ("dynamics", dv, dv_column)):
            rows = world.by(table, column)
            for one in journeys:
                name = {"account": one.company, "opportunity": one.deal}.get(entity, one.email)
                if len(rows[name]) > 1:
                    found += [f"{crm}: {entity} {name} is there {len(rows[name])} times"] * (len(rows[name]) - 1)
    return found


def judge(
    dump: Mapping[str, Any],
    store: Store,
    journeys: Sequence[Journey],
    *,
    known: set[str],
    ours: Mapping[str, str],
) -> Verdict:
    """`known`: ids that were there before; `ours`: our user in each CRM."""
    world = World(dump)
    verdict = Verdict(doubled=doubles(world, journeys))
    judged = _Judge(world, store, verdict)
    for one in journeys:
        judged.journey(one)
    judged.nothing_else(journeys, known)
    judged.journal(ours, known)
    return verdict


class _Judge:
    def __init__(self, world: World, store: Store, verdict: Verdict) -> None:
        self._world = world
        self._store = store
        self._verdict = verdict
        self._right: dict[str, str | None] = {}
        self._left: dict[str, str | None] = {}
        for link in store.all_links():
            if link.alive and link.left_id and link.right_id:
                self._right[link.left_id], self._left[link.right_id] = link.right_id, link.left_id
        self._sf_leads = world.by("Lead", "Email")
        self._dv_leads = world.by("lead", "emailaddress1")
        self._roles = world.by("OpportunityContactRole", "OpportunityId")
        self._closes = world.by("opportunityclose", "_opportunityid_value")

    # --- conversions and values ---------------------------------------------------------------------------------------

    def journey(self, one: Journey) -> None:
        lost, wrong = self._verdict.lost, self._verdict.wrong
        left = next(iter(self._sf_leads[one.email]), None)
        right = next(iter(self._dv_leads[one.email]), None)
        if left is None or right is None:
            lost.append(f"lead {one.email} is not in {'salesforce' if left is None else 'dynamics'}")
            return
        if self._right.get(left["Id"]) != right["leadid"]:
            wrong.append(f"lead {one.email}: its two records are not linked")
        if one.results is None:
            self._value(one, "title", "lead", left.get("Title"), right.get("jobtitle"))
            if left["IsConverted"] or right["statecode"] != 0:
                wrong.append(f"lead {one.email} was converted, and nobody wanted it")
            return
        if not left["IsConverted"] or right["statecode"] != 1:
            lost.append(f"conversion of {one.email} on {one.home} is not mirrored")
            return
        before = len(wrong)
        self._shape(one, left, right)
        if len(wrong) == before:
            self._verdict.mirrored += 1

    def _shape(self, one: Journey, left: Mapping[str, Any], right: Mapping[str, Any]) -> None:
        """lifecycle §1: the same three records on both sides, linked pairwise, and tied to each other in each."""
        sf = {
            "account": left["ConvertedAccountId"],
            "contact": left["ConvertedContactId"],
            "opportunity": left["ConvertedOpportunityId"],
        }
        dv = {
            "account": right["_parentaccountid_value"],
            "contact": right["_parentcontactid_value"],
            "opportunity": right["_qualifyingopportunityid_value"],
        }
        tables = self._world.tables
        rows: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {}
        for entity in ("account", "contact", "opportunity"):
            a, b = sf[entity], dv[entity]
            if entity == "opportunity" and not one.with_opportunity:
                self._hold(a is None and b is None, one, "an opportunity nobody wanted")
                continue
            if self._hold(
                a is not None and b is not None and self._right.get(a) == b, one, f"{entity} {a} <-> {b} is no link"
            ):
                row, partner = tables[entity.title()].get(a), tables[entity].get(b)
                if self._hold(row is not None and partner is not None, one, f"its {entity} is gone"):
                    assert row is not None
                    assert partner is not None
                    rows[entity] = (row, partner)
        if "account" in rows:
            account, customer = rows["account"]
            self._hold(account["Name"] == customer["name"] == one.account, one, "its account is another one")
            if one.into is None:
                self._value(one, "number", "account", account.get("AccountNumber"), customer.get("accountnumber"))
                self._value(one, "city", "account", account.get("BillingCity"), customer.get("address1_city"))
        if "contact" in rows:
            a, b = rows["contact"]
            self._hold(a["AccountId"] == sf["account"], one, "salesforce: its contact belongs to another account")
            self._hold(
                b["_parentcustomerid_value"] == dv["account"], one, "dynamics: its contact belongs to another account"
            )
            self._value(one, "title", "contact", a.get("Title"), b.get("jobtitle"))
            self._value(one, "department", "contact", a.get("Department"), b.get("department"))
            self._value(one, "description", "contact", a.get("Description"), b.get("description"))
        if "opportunity" in rows:
            self._deal(one, rows["opportunity"], sf, dv)

    def _deal(
        self,
        one: Journey,
        rows: tuple[Mapping[str, Any], Mapping[str, Any]],
        sf: Mapping[str, str],
        dv: Mapping[str, str],
    ) -> None:
        a, b = rows
        self._hold(a["AccountId"] == sf["account"], one, "salesforce: its opportunity belongs to another account")
        self._hold(
            b["_parentaccountid_value"] == dv["account"], one, "dynamics: its opportunity belongs to another account"
        )
        self._hold(b["_parentcontactid_value"] == dv["contact"], one, "dynamics: its opportunity has another contact")
        roles = [role for role in self._roles[a["Id"]] if role["ContactId"] == sf["contact"]]
        self._hold(bool(roles), one, "salesforce: its contact has no role in the opportunity")
        if len(roles) > 1:
            self._verdict.doubled.append(f"salesforce: {len(roles)} roles of one contact in {one.deal}")
        self._value(one, "deal description", "opportunity", a.get("Description"), b.get("description"))
        closes = self._closes[b["opportunityid"]]
        if one.won:
            self._verdict.numbers["won"] += 1
            if not a["IsWon"] or b["statecode"] != 1:
                self._verdict.lost.append(f"{one.deal} was won on {one.won}, and the other side does not know")
            if len(closes) > 1:
                self._verdict.doubled.append(f"dynamics: {len(closes)} closings of {one.deal}")
            self._value(one, "amount", "opportunity", a.get("Amount"), b.get("actualvalue"))
        else:
            self._hold(not a["IsClosed"] and b["statecode"] == 0 and not closes, one, "it was closed by nobody")
            self._value(one, "amount", "opportunity", a.get("Amount"), b.get("estimatedvalue"))

    def _hold(self, true: bool, one: Journey, otherwise: str) -> bool:
        if not true:
            self._verdict.wrong.append(f"{one.email}: {otherwise}")
        return true

    def _value(self, one: Journey, field: str, entity: str, left: object, right: object) -> None:
        wanted = one.wanted.get(field)
        if wanted is None:
            return
        self._verdict.numbers["values"] += 1
        for side, found in (("salesforce", left), ("dynamics", right)):
            if not _same(found, wanted):
                self._verdict.lost.append(f"{one.email}: {entity} {field} is {found!r} in {side}, not {wanted!r}")

    # --- what nobody asked for ----------------------------------------------------------------------------------------

    def nothing_else(self, journeys: Sequence[Journey], known: set[str]) -> None:
        """As many new records as people made or converted, on each side; more are doubles under another name."""
        converted = [one for one in journeys if one.results is not None]
        wanted = {
            "lead": len(journeys),
            "contact": len(converted),
            "account": sum(one.into is None for one in converted),
            "opportunity": sum(one.with_opportunity for one in converted),
        }
        for entity, count in wanted.items():
            for table in (entity.title(), entity):
                new = len(self._world.tables[table].keys() - known)
                if new > count:
                    self._verdict.doubled.append(f"{table}: {new} new records, where {count} were to be")
                if new < count:
                    self._verdict.lost.append(f"{table}: {new} new records, where {count} were to be")

    def journal(self, ours: Mapping[str, str], known: set[str]) -> None:
        """Each record that we made, each conversion and each closing of ours has one journal row, and none has more;
        what was last changed by us has one too."""
        rows = self._store.journal()
        made = Counter(row.native_id for row in rows if row.kind == "create")
        converted = Counter(row.native_id for row in rows if row.kind == "convert")
        changed = {row.native_id for row in rows}
        wrong, numbers = self._verdict.wrong, self._verdict.numbers
        numbers["journal rows"] = len(rows)
        by_conversion = self._made_by_conversion(set(converted))
        for table in sorted(CREATED):
            sf = table in _ENTITY
            us = ours["salesforce" if sf else "dynamics"]
            for id, row in self._world.tables[table].items():
                creator = row.get("CreatedById") if sf else row.get("_createdby_value")
                modifier = row.get("LastModifiedById") if sf else row.get("_modifiedby_value")
                count = made.pop(id, 0)
                if creator == us and id not in known:
                    numbers["made by us"] += 1
                    if count != 1 and not (count == 0 and id in by_conversion):
                        wrong.append(f"{table} {id} was made by us, and the journal has {count} rows of it")
                if modifier == us and id not in known and id not in changed and id not in by_conversion:
                    wrong.append(f"{table} {id} was changed by us, and the journal has no row of it")
        wrong += [f"the journal says we made {id}, which is not there" for id in made]
        wrong += [f"lead {id}: the journal has {n} conversions" for id, n in converted.items() if n > 1]
        numbers["conversions in the journal"] = len(converted)
        closings = sum(
            row.get("_createdby_value") == ours["dynamics"] for row in self._world.tables["opportunityclose"].values()
        )
        told = sum(row.kind in {"win", "lose"} and row.side == "right" for row in rows)
        if closings != told:
            wrong.append(f"dynamics: {closings} closings by us, {told} in the journal")
        for intent in self._store.open_intents():
            wrong.append(f"an intent is open: {intent.kind} {intent.entity} on {intent.side}")

    def _made_by_conversion(self, leads: set[str | None]) -> set[str]:
        found: set[str] = set()
        for row in self._world.tables["Lead"].values():
            if row["Id"] in leads:
                found |= {row[f"Converted{what}Id"] for what in ("Account", "Contact", "Opportunity")}
        for row in self._world.tables["lead"].values():
            if row["leadid"] in leads:
                found |= {row["_parentaccountid_value"], row["_parentcontactid_value"]}
                found.add(row["_qualifyingopportunityid_value"])
        return found - {None}


def _same(found: object, wanted: object) -> bool:
    if isinstance(wanted, int):
        return found is not None and float(str(found)) == wanted
    return found == wanted

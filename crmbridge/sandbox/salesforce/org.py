"""What is in an org before anybody works in it: its users, its set-up, and the records it is loaded with."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from crmbridge.sandbox.core import BadRow, Row
from crmbridge.sandbox.salesforce.addresses import settle
from crmbridge.sandbox.salesforce.behaviour import derive
from crmbridge.sandbox.salesforce.errors import SfError
from crmbridge.sandbox.salesforce.ids import Sequence
from crmbridge.sandbox.salesforce.records import Records
from crmbridge.sandbox.salesforce.schema import SObject
from crmbridge.sandbox.salesforce.store import Store
from crmbridge.sandbox.salesforce.values import read, stamp

# What others see of an object's rows, in the words of the organization's row.
_ACCESS: Final = {"private": "None", "read": "Read", "read_write": "Edit", "controlled_by_parent": "ControlledByParent"}
ADMINISTRATOR: Final = "System Administrator"  # the profile of people whom the shape does not name


class Org:
    """Rows that nobody saves through the API: no rule is asked, stamps may be given."""

    def __init__(self, store: Store, records: Records, sequence: Sequence, now: Callable[[], datetime]) -> None:
        self._store = store
        self._shape = store.shape
        self._records = records
        self._sequence = sequence
        self._now = now
        self._refs: dict[str, str] = {}
        self._profiles: dict[str, str] = {}  # id by name
        self._first_user = ""
        self.id = sequence.next("00D")

    def found(self, username: str) -> str:
        """The rows that every org has: a first user, itself, and the set-up that the shape declares; the user's id."""
        org = self._shape.org
        for name in dict.fromkeys([ADMINISTRATOR, *self._shape.profiles]):
            self._profiles[name] = self._sequence.next("00e")
        self._first_user = self.person(username, "Sync", "User")["Id"]
        facts = {
            "Id": self.id,
            "Name": org.name,
            "OrganizationType": org.organization_type,
            "IsSandbox": org.is_sandbox,
        }
        facts |= {"InstanceName": org.instance_name, "TimeZoneSidKey": org.time_zone}
        facts |= {"FiscalYearStartMonth": org.fiscal_year_start_month}
        shared = {f"Default{name}Access": _ACCESS[how] for name, how in self._shape.sharing.items()}
        known = self._shape.objects["Organization"].fields if "Organization" in self._shape.objects else {}
        self._put("Organization", facts | {name: how for name, how in shared.items() if name in known})
        for name, key in self._profiles.items():
            self._put("Profile", {"Id": key, "Name": name, "UserType": "Standard"})
        for order, status in enumerate(self._shape.task_statuses, 1):
            names = {"MasterLabel": status.label, "ApiName": status.label, "SortOrder": order}
            self._put("TaskStatus", names | {"IsDefault": status.default, "IsClosed": status.closed})
        for name, rule in self._shape.rules.assignment.items():
            self._put("AssignmentRule", {"Name": rule.name, "SobjectType": name, "Active": rule.active})
        for rule in self._shape.rules.duplicates:
            names = {"DeveloperName": rule.name, "MasterLabel": rule.name.replace("_", " ")}
            self._put("DuplicateRule", names | {"SobjectType": rule.object, "IsActive": rule.active})
        for order, status in enumerate(self._shape.lead_statuses, 1):
            names = {"MasterLabel": status.label, "ApiName": status.value, "SortOrder": order}
            self._put("LeadStatus", names | {"IsDefault": status.default, "IsConverted": status.converted})
        for order, stage in enumerate(self._shape.opportunity_stages, 1):
            flags = {"IsActive": stage.active, "IsClosed": stage.closed, "IsWon": stage.won}
            forecast = self._shape.forecast_labels.get(stage.forecast, stage.forecast)
            names = {"MasterLabel": stage.label, "ApiName": stage.value, "SortOrder": order}
            names |= {"ForecastCategory": stage.forecast, "ForecastCategoryName": forecast}
            self._put("OpportunityStage", names | flags | {"DefaultProbability": Decimal(f"{stage.probability}.0")})
        for sobject in self._shape.objects.values():
            for kind in sobject.document.record_types:
                names = {"DeveloperName": kind.developer_name, "Name": kind.name or kind.developer_name}
                names |= {"IsPersonType": kind.person} if org.person_accounts else {}
                self._put("RecordType", names | {"IsActive": kind.active, "SobjectType": sobject.name})
        if org.multi_currency:
            for code, rate in ({org.currency: 1.0} | org.currencies).items():
                row = {"IsoCode": code, "ConversionRate": Decimal(str(rate)), "DecimalPlaces": 2, "IsActive": True}
                self._put("CurrencyType", row | {"IsCorporate": code == org.currency})
        return self._first_user

    def person(self, email: str, first: str, last: str) -> Row:
        users, name = self._shape.objects["User"], email.partition("@")[0]
        values: Row = {"Username": email, "Email": email, "FirstName": first or None, "LastName": last}
        values |= {"Alias": re.sub(r"[^a-z0-9]", "", name.lower())[:8] or "user", "CommunityNickname": name[:40]}
        if "TimeZoneSidKey" in users.fields:
            values["TimeZoneSidKey"] = self._shape.org.time_zone
        known = self._shape.people.get(email)
        profile = self._profiles[known.profile if known else ADMINISTRATOR]
        row = self._stamped(users, values | {"ProfileId": profile, "UserType": "Standard", "IsActive": True})
        derive(self._shape, users, row, None, set(), row["CreatedDate"], self._store.tables.get)
        self._store.put(users, row)
        return row

    def load(self, records: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
        """Rows as they stand: types are checked, rules are off; `_ref` names a row, `@name` is its id in later ones."""
        with self._store.tables.transaction():
            for name, rows in records.items():
                sobject = self._shape.object(name)
                if sobject is None:
                    raise ValueError(f"load: there is no object {name} in the shape.")
                for number, given in enumerate(rows, 1):
                    self._load(sobject, given, number)
            self._records.derived.compute_all()

    def compute(self) -> None:
        """Formulas and roll-ups, after rows came in another way."""
        self._records.derived.compute_all()

    def _load(self, sobject: SObject, given: Mapping[str, Any], number: int) -> None:
        values: Row = {}
        for name, value in given.items():
            if name in ("_ref", "attributes"):
                continue
            field = sobject.field(name)
            if field is None:
                raise BadRow(sobject.name, number, name, f"{sobject.name} has no field {name}.")
            if isinstance(value, str) and value.startswith("@"):
                if value[1:] not in self._refs:
                    raise BadRow(sobject.name, number, name, f"no row before this one has _ref {value[1:]!r}.")
                value = self._refs[value[1:]]
            try:
                values[field.name] = read(field, value)
            except SfError as error:
                raise BadRow(sobject.name, number, name, str(error)) from None
        given_values = {name: value for name, value in values.items() if value is not None}
        given_values |= self._records.person_type_of(sobject, given_values)
        defaults = self._records.defaults(sobject, given_values.get("RecordTypeId"))
        row = self._stamped(sobject, {**defaults, **given_values}, self._author(sobject, given_values.get("OwnerId")))
        person = self._records.begin_person(sobject, row)
        if sobject.address_prefixes:
            for problem in settle(self._shape.countries, sobject, row, None, given_values.keys()):
                raise BadRow(sobject.name, number, "", problem.message)
        try:
            derive(self._shape, sobject, row, None, given_values.keys(), row["SystemModstamp"], self._store.tables.get)
        except SfError as error:
            raise BadRow(sobject.name, number, "", str(error)) from None
        row |= given_values  # what is given wins over what would be derived
        self._store.put(sobject, row)
        if person and self._records.persons is not None:
            self._store.put(self._shape.objects["Contact"], self._records.persons.contact_of(row))
        if sobject.name == "OpportunityContactRole" and row["IsPrimary"]:
            self._show_primary(row)
        if "_ref" in given:
            self._refs[given["_ref"]] = row["Id"]

    def _show_primary(self, role: Row) -> None:
        opportunities = self._shape.objects["Opportunity"]
        opportunity = self._store.get(opportunities, role["OpportunityId"])
        if opportunity is not None:
            self._store.put(opportunities, {**opportunity, "ContactId": role["ContactId"]})

    def _put(self, name: str, values: Row) -> None:
        sobject = self._shape.objects.get(name)
        if sobject is not None:
            self._store.put(sobject, self._stamped(sobject, values))

    def _author(self, sobject: SObject, owner: str | None) -> str:
        """Who made a loaded row: its owner, else any person. The first user is who logs in to work here, and would take
        the row for its own doing; it made the users, and what no person is there for."""
        if sobject.name == "User":
            return self._first_user
        users = self._store.rows(self._shape.objects["User"])
        if owner is not None and owner in users and owner != self._first_user:
            return owner
        others = (key for key, user in users.items() if key != self._first_user and user.get("IsActive"))
        return next(others, self._first_user)

    def _stamped(self, sobject: SObject, values: Row, author: str = "") -> Row:
        """System fields and defaults where they are not given; the author is the first user where none is named."""
        now = stamp(self._now())
        row: Row = {"Id": values.get("Id") or self._sequence.next(sobject.document.key_prefix), **sobject.defaults}
        user = self._first_user or row["Id"]
        row |= {"OwnerId": user} if "OwnerId" in sobject.fields else {}
        row |= {"CreatedDate": now, "CreatedById": author or user}
        row |= {name: value for name, value in values.items() if value is not None}
        row.setdefault("LastModifiedDate", row["CreatedDate"])
        row.setdefault("LastModifiedById", row["CreatedById"])
        row.setdefault("SystemModstamp", row["LastModifiedDate"])
        return row

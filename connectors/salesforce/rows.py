"""Rows of the four objects: which columns we need, bytes to `Row`, and a record's place in its life.

Pages are decoded by msgspec straight into the structs that were generated from the mapping. One column is not on the
wire: an opportunity's `ContactId` can be set at creation alone (salesforce-api §5.3), so for us it is virtual: the
contact of its primary OpportunityContactRole, read and written through that object. Roles are polled by themselves (a
role's change does not move the opportunity's stamp, §7) and kept as the row's extras; `with_contact` puts the two
together.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any, Final

import msgspec

from connectors.base import TablePlan
from connectors.salesforce import soql
from crmbridge.errors import ConfigError, LostAnswer
from crmbridge.model import Entity, Life, Ref, Row, Side, State, attribute_name

OBJECTS: Final[Mapping[Entity, str]] = {
    "account": "Account",
    "contact": "Contact",
    "lead": "Lead",
    "opportunity": "Opportunity",
}
ROLES: Final = "OpportunityContactRole"
CONTACT: Final = "ContactId"
PERSON: Final = "IsPersonAccount"  # exists in orgs with person accounts alone
_other_half: Final[Mapping[Entity, str]] = {"account": "PersonContactId", "contact": "AccountId"}  # of a person account

_common: Final[Mapping[str, Any]] = {
    "Id": str,
    "IsDeleted": bool,
    "CreatedDate": datetime,
    "LastModifiedDate": datetime,
    "LastModifiedById": str,
    "SystemModstamp": datetime,
}
_own: Final[Mapping[Entity, Mapping[str, Any]]] = {  # §5.3
    "account": {"MasterRecordId": str},
    "contact": {"MasterRecordId": str},
    "lead": {
        "MasterRecordId": str,
        "Status": str,
        "IsConverted": bool,
        "ConvertedDate": date,
        "ConvertedAccountId": str,
        "ConvertedContactId": str,
        "ConvertedOpportunityId": str,
    },
    "opportunity": {"StageName": str, "IsClosed": bool, "IsWon": bool, "HasOpportunityLineItem": bool},
}


def system_columns(entity: Entity, *, key_field: str | None, person_accounts: bool) -> dict[str, type[Any]]:
    columns: dict[str, type[Any]] = {**_common, **_own[entity]}
    if key_field:
        columns[key_field] = str
    if person_accounts and entity in _other_half:
        columns |= {PERSON: bool, _other_half[entity]: str}
    return columns


class Rows:
    """Reads one object's rows."""

    def __init__(self, plan: TablePlan, side: Side, *, key_field: str | None, person_accounts: bool) -> None:
        self.entity: Entity = plan.entity
        self.table = plan.table
        self.virtual_contact = plan.entity == "opportunity" and CONTACT in plan.columns
        system = system_columns(plan.entity, key_field=key_field, person_accounts=person_accounts)
        nested = [column for column in plan.columns if "." in column]
        if nested:
            raise ConfigError(
                f"{plan.table}: {nested[0]} is a field of another object; a mapping holds the object's own fields.",
                fix="Map the lookup itself (for an owner: OwnerId with convert: user).",
                code="nested_column",
            )
        wanted = dict.fromkeys([*system, *plan.columns])
        if self.virtual_contact:
            del wanted[CONTACT]
        self.columns: tuple[str, ...] = tuple(wanted)
        lacking = [each for each in self.columns if attribute_name(each) not in plan.row_type.__struct_fields__]
        assert not lacking, f"{plan.table}: the row type lacks {', '.join(lacking)}"
        self._side: Side = side
        self._key = attribute_name(key_field) if key_field else None
        self._page = msgspec.json.Decoder(_page_of(plan.row_type))
        self._list = msgspec.json.Decoder(list[plan.row_type | None])

    def page(self, body: bytes) -> tuple[list[Row], list[datetime], str | None]:
        """Rows, when each last moved at all, and the next page's link."""
        page = _decoded(self._page, body, self.table)
        stamps = [each.SystemModstamp for each in page.records]
        return [self._row(each) for each in page.records], stamps, None if page.done else page.nextRecordsUrl

    def found(self, body: bytes) -> list[Row]:
        """Rows of a retrieve; what was not found stands as null (§3.2)."""
        return [self._row(each) for each in _decoded(self._list, body, self.table) if each is not None]

    def _row(self, values: Any) -> Row:
        deleted = bool(values.IsDeleted)
        return Row(
            ref=Ref(side=self._side, entity=self.entity, id=soql.id18(values.Id)),
            version=version_of(values.LastModifiedDate),
            created_at=values.CreatedDate,
            modified_at=values.LastModifiedDate,
            modified_by=values.LastModifiedById,
            deleted=deleted,
            merged_into=getattr(values, "MasterRecordId", None) if deleted else None,
            key=getattr(values, self._key) if self._key else None,
            values=None if deleted else values,
        )


def version_of(moment: datetime | None) -> str:
    return soql.instant(moment) if moment else ""


def instant_of(version: str | None) -> datetime | None:
    if not version:
        return None
    try:
        return datetime.fromisoformat(version.replace("Z", "+00:00"))
    except ValueError:
        return None


def _page_of(row_type: type[Any]) -> type[Any]:
    return msgspec.defstruct(
        "QueryPage", [("records", list[row_type]), ("done", bool, True), ("nextRecordsUrl", str | None, None)]
    )


def _decoded(decoder: "msgspec.json.Decoder[Any]", body: bytes, table: str) -> Any:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:  # says type and place, never the value
        raise ConfigError(
            f"{table}: a field holds another kind of value than the mapping expects: {error}.",
            fix="Compare the mapping's converters with the field types that `crmbridge check --live` shows.",
            code="field_type",
        ) from None
    except msgspec.DecodeError:
        raise LostAnswer(f"{table}: the answer was cut off or is not JSON.", code="unreadable") from None


# --- contact roles --------------------------------------------------------------------------------------------------


class Role(msgspec.Struct, kw_only=True):
    """A row of OpportunityContactRole (§5.3)."""

    Id: str
    OpportunityId: str
    ContactId: str | None = None
    IsPrimary: bool = False
    IsDeleted: bool = False
    LastModifiedDate: datetime | None = None
    SystemModstamp: datetime

    def values(self) -> dict[str, Any]:
        return {"contact_id": self.ContactId, "is_primary": self.IsPrimary, "deleted": self.IsDeleted}


role_columns: Final = Role.__struct_fields__
_roles = msgspec.json.Decoder(_page_of(Role))


def roles(body: bytes) -> tuple[list[Role], str | None]:
    page = _decoded(_roles, body, ROLES)
    return page.records, None if page.done else page.nextRecordsUrl


def with_roles(rows: Iterable[Row], found: Mapping[str, Sequence[Role]]) -> list[Row]:
    """Opportunities with their contact roles in the extras."""
    return [
        replace(row, extras={**row.extras, "role": {each.Id: each.values() for each in found.get(row.ref.id, ())}})
        for row in rows
    ]


def with_contact(row: Row) -> Row:
    """ContactId is not read over the wire (§5.3): it is the contact of the primary role."""
    if row.values is None or row.ref.entity != "opportunity" or not hasattr(row.values, CONTACT):
        return row
    contact = primary_contact(row.extras.get("role", {}))
    return replace(row, values=msgspec.structs.replace(row.values, ContactId=contact))


def primary_contact(extras: Mapping[str, Mapping[str, Any]]) -> str | None:
    return next(
        (each["contact_id"] for each in extras.values() if each["is_primary"] and not each["deleted"]),
        None,
    )


# --- life ---------------------------------------------------------------------------------------------------------


def life(row: Row) -> Life:
    values = row.values
    if values is None:
        return Life()
    match row.ref.entity:
        case "lead":
            return _lead_life(values)
        case "opportunity":
            state: State = ("won" if values.IsWon else "lost") if values.IsClosed else "open"  # §7
            return Life(state=state, status=values.StageName, amount_calculated=bool(values.HasOpportunityLineItem))
        case entity:
            if not getattr(values, PERSON, False):
                return Life()
            half: str | None = getattr(values, _other_half[entity], None)
            if entity == "account":
                return Life(person_account=True, contact_id=half)
            return Life(person_account=True, account_id=half)


def _lead_life(values: Any) -> Life:
    """The only flag is IsConverted; open and disqualified are declared by the mapping (lifecycle §2)."""
    if not values.IsConverted:
        return Life(status=values.Status)
    day: date | None = values.ConvertedDate  # a date, no time (§6.5)
    return Life(
        state="converted",
        status=values.Status,
        account_id=values.ConvertedAccountId,
        contact_id=values.ConvertedContactId,
        opportunity_id=values.ConvertedOpportunityId,
        converted_at=datetime(day.year, day.month, day.day, tzinfo=UTC) if day else None,
    )

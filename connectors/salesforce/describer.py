"""What this org is: its identity, its users and currencies, its objects (salesforce-api §5)."""

from collections import Counter
from typing import Any, Final, TypeVar

import msgspec

from connectors.base import Column, Description, Identity, Option
from connectors.groups import groups_of
from connectors.salesforce import protocol, soap, soql
from connectors.salesforce.auth import SalesforceConfig
from connectors.salesforce.client import SESSION_REFUSED, Client
from connectors.salesforce.protocol import Meaning
from connectors.salesforce.reader import Reader
from connectors.salesforce.record_types import RecordTypeInfo, RecordTypes
from connectors.salesforce.rows import CONTACT, OBJECTS, ROLES
from crmbridge.errors import AccessError, ConfigError, RefusedError
from crmbridge.model import Directory, Entity

T = TypeVar("T", bound=msgspec.Struct)

# §5.1 describe types; what is in none is text.
_types: Final = {
    "id": "id",
    "reference": "lookup",
    "boolean": "boolean",
    "picklist": "choice",
    "multipicklist": "multichoice",
    "date": "date",
    "datetime": "datetime",
    "int": "integer",
    "double": "number",
    "percent": "number",
    "currency": "money",
}
key_length: Final = 36  # a Dynamics row's GUID


class _Value(msgspec.Struct):
    value: str
    label: str | None = None
    active: bool = True
    defaultValue: bool = False  # noqa: N815 - the wire's names


class _Field(msgspec.Struct, kw_only=True):
    name: str
    type: str
    label: str | None = None
    length: int = 0
    scale: int = 0
    nillable: bool = True
    createable: bool = False
    updateable: bool = False
    defaultedOnCreate: bool = False  # noqa: N815
    unique: bool = False
    externalId: bool = False  # noqa: N815
    restrictedPicklist: bool = False  # noqa: N815
    picklistValues: list[_Value] = []  # noqa: N815
    referenceTo: list[str] = []  # noqa: N815


class _Describe(msgspec.Struct):
    name: str
    fields: list[_Field]
    recordTypeInfos: list[RecordTypeInfo] = []  # noqa: N815


class _Organization(msgspec.Struct):
    Id: str
    Name: str
    IsSandbox: bool


class _User(msgspec.Struct):
    Id: str
    Email: str | None
    IsActive: bool
    UserType: str | None


class _Queue(msgspec.Struct):
    Id: str
    Name: str | None
    DeveloperName: str | None


class _Currency(msgspec.Struct):
    IsoCode: str
    IsCorporate: bool


class _Status(msgspec.Struct):
    ApiName: str
    MasterLabel: str
    IsConverted: bool
    IsDefault: bool


class _Stage(msgspec.Struct):
    ApiName: str
    MasterLabel: str
    IsActive: bool
    IsClosed: bool
    IsWon: bool


class _UserInfo(msgspec.Struct):
    user_id: str
    organization_id: str = ""


class Describer:
    def __init__(self, client: Client, reader: Reader, config: SalesforceConfig) -> None:
        self._client, self._reader, self._config = client, reader, config
        self._default_status: dict[str | None, str | None] = {}  # by record type
        self._record_types = RecordTypes(client)

    # --- the org --------------------------------------------------------------------------------------------------

    def identity(self) -> Identity:
        answer = self._client.read(protocol.user_info())
        me = msgspec.json.decode(answer.body, type=_UserInfo)
        org = self._all(_Organization, "Organization")[0]
        return Identity(
            org_id=soql.id18(org.Id), user_id=soql.id18(me.user_id), production=not org.IsSandbox, name=org.Name
        )

    def directory(self, *, groups: bool = False) -> Directory:
        users = self._all(_User, "User")
        emails = {soql.id18(each.Id): folded(each.Email) for each in users if each.Email}
        # Only an active standard user can own a record (§5.3).
        owners = [each for each in users if each.IsActive and each.UserType == "Standard" and each.Email]
        times = Counter(folded(each.Email) for each in owners)
        ids = {folded(each.Email): soql.id18(each.Id) for each in owners if times[folded(each.Email)] == 1}
        queues = self._all(_Queue, "Group", "Type = 'Queue'") if groups else []
        named, by_word = groups_of("queue", ((soql.id18(q.Id), (q.Name, q.DeveloperName)) for q in queues))
        currency, multi, currencies = self._currencies()
        return Directory(
            users=emails,
            user_ids=ids,
            groups=named,
            group_ids=by_word,
            default_owner=self._default_owner(ids),
            currency=currency,
            multi_currency=multi,
            currencies={each: each for each in currencies},
        )

    def _default_owner(self, ids: dict[str, str]) -> str | None:
        email = self._config.default_owner
        if email is None:
            return None
        owner = ids.get(folded(email))
        if owner is None:
            raise ConfigError(
                f"{self._config.default_owner_setting or 'default_owner'}: {self._config.name} has no single active "
                f"user {email!r}.",
                fix="Write the e-mail address of one who is active there.",
                code="default_owner",
            )
        return owner

    def _currencies(self) -> tuple[str, bool, list[str]]:
        """The org's own currency is told by SOAP alone; CurrencyType exists in multi-currency orgs only (§5.4)."""
        if self._config.currency:
            own, multi = self._config.currency, self._is_multi_currency()
        else:
            told = self._user_info()
            own, multi = told.currency, told.multi_currency
        if not multi:
            return own, False, [own]
        active = self._all(_Currency, "CurrencyType", "IsActive = true")
        corporate = next((each.IsoCode for each in active if each.IsCorporate), own)
        return corporate, True, [each.IsoCode for each in active]

    def _user_info(self) -> soap.UserInfo:
        """Also the proof that SOAP, and so a conversion, takes a token that REST takes."""
        call = soap.get_user_info()
        try:
            answer = self._client.run(call)
        except AccessError as error:
            if error.code != SESSION_REFUSED:
                raise
            raise self._without_soap() from error
        told = soap.user_info(answer.status, answer.body)
        if isinstance(told, Meaning) and told.kind in ("later", "unknown"):
            raise self._client.error(call, told)
        if isinstance(told, Meaning) or not told.currency:
            raise self._without_soap()
        return told

    def _without_soap(self) -> AccessError:
        return AccessError(
            f"{self._config.name}: the org's currency could not be asked for by SOAP, and neither can a conversion be "
            "(the access token may be in JWT form, which SOAP does not take).",
            fix="Let the app issue opaque tokens instead: the app's OAuth settings, no JWT-based access tokens.",
            code="currency",
        )

    def _is_multi_currency(self) -> bool:
        try:
            self._all(_Currency, "CurrencyType", "IsActive = true")
        except RefusedError as error:
            if error.code == "INVALID_TYPE":
                return False
            raise
        return True

    # --- objects --------------------------------------------------------------------------------------------------

    def describe(self, entity: Entity) -> Description:
        table = OBJECTS[entity]
        answer = self._client.read(protocol.describe(table))
        found = msgspec.json.decode(answer.body, type=_Describe)
        columns = {each.name: _column(each) for each in found.fields}
        record_types = self._record_types.told(entity, found.recordTypeInfos)
        if entity == "opportunity":  # ours: the primary contact role's contact (rows.py)
            columns[CONTACT] = Column(name=CONTACT, type="lookup", targets=("Contact",))
        key, notes = self._key(found)
        if entity == "opportunity":
            notes.append(f"{CONTACT} is the contact of the primary {ROLES}; a deleted role is not seen by polling.")
        return Description(
            entity=entity,
            table=found.name,
            columns=columns,
            statuses=self._statuses(entity),
            record_types=record_types,
            key_field=key,
            notes=tuple(notes),
        )

    def _key(self, found: _Describe) -> tuple[bool, list[str]]:
        name = self._config.key_field
        if name is None:
            return False, ["no key field is configured: creates are slower, and are looked up before they are repeated"]
        field = next((each for each in found.fields if each.name == name), None)
        if field is None:
            return False, [
                f"{name} is missing, or the user may not see it: add Text({key_length}), External ID, Unique"
            ]
        wrong = [
            words
            for fine, words in (
                (field.externalId, "External ID"),
                (field.unique, "Unique"),
                (field.length >= key_length, f"at least {key_length} characters long"),
                (field.createable and field.updateable, "writable for the user"),
            )
            if not fine
        ]
        return not wrong, [f"{name} must be {', '.join(wrong)}"] if wrong else []

    def _statuses(self, entity: Entity) -> tuple[Option, ...]:
        match entity:
            case "lead":
                return tuple(
                    Option(
                        value=each.ApiName,
                        label=each.MasterLabel,
                        state="converted" if each.IsConverted else None,
                        default=each.IsDefault,
                    )
                    for each in self._all(_Status, "LeadStatus", order="SortOrder")
                )
            case "opportunity":
                return tuple(
                    Option(
                        value=each.ApiName,
                        label=each.MasterLabel,
                        state=("won" if each.IsWon else "lost") if each.IsClosed else "open",
                        active=each.IsActive,
                    )
                    for each in self._all(_Stage, "OpportunityStage", order="SortOrder")
                )
            case _:
                return ()

    def record_type(self, entity: Entity, id: str) -> str | None:
        """The developer name of a record's type; the map is what the last describe told, asked for once more where an
        id is new to it."""
        return self._record_types.name_of(entity, id)

    def converted_status(self, record_type: str | None = None) -> str | None:
        """The status that a conversion gives where the order names none: the first that the lead's record type offers,
        None where it offers none; asked for once."""
        if record_type not in self._default_status:
            converted = [each for each in self._all(_Status, "LeadStatus", order="SortOrder") if each.IsConverted]
            if not converted:
                raise ConfigError(
                    f"{self._config.name}: no lead status is flagged as converted.",
                    fix="Flag one in Setup, Lead Status.",
                    code="converted_status",
                )
            offered = self._record_types.offers("lead", record_type, "Status")
            able = [each for each in converted if offered is None or each.ApiName in offered]
            usual = next((each for each in able if each.IsDefault), able[0] if able else None)
            self._default_status[record_type] = usual.ApiName if usual is not None else None
        return self._default_status[record_type]

    def _all(self, kind: type[T], table: str, where: str = "", *, order: str = "") -> list[T]:
        """All rows of a setup object, as structs whose attributes are its columns."""
        columns = [each.name for each in msgspec.structs.fields(kind)]
        page: Any = msgspec.defstruct("SetupPage", [("records", list[kind])])
        rows: list[T] = []
        for body in self._reader.query(soql.select(columns, table, where, order), table):
            rows += msgspec.json.decode(body, type=page).records
        return rows


def folded(email: str | None) -> str:
    """Lower case, without the ".invalid" that a refreshed sandbox org appends."""
    return (email or "").strip().lower().removesuffix(".invalid")


def _column(field: _Field) -> Column:
    kind = _types.get(field.type, "text")
    return Column(
        name=field.name,
        type=kind,
        label=field.label or "",
        length=field.length or None if kind == "text" else None,
        scale=field.scale if kind in ("number", "money") else None,
        # §5.1; a boolean is never null and defaults to false.
        required=field.createable and not field.nillable and not field.defaultedOnCreate and kind != "boolean",
        createable=field.createable,
        updateable=field.updateable,
        unique=field.unique,
        restricted=field.restrictedPicklist,
        options=tuple(
            Option(value=each.value, label=each.label or each.value, active=each.active, default=each.defaultValue)
            for each in field.picklistValues
        ),
        targets=tuple(field.referenceTo),
    )

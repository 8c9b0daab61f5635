"""Who may do what: security roles, their depths, secured columns, and acting for somebody else (dataverse-api §4.4,
§9.3, §10.3).

A user's rights are the sum of the roles of the user and of the user's teams; who acts for somebody else has the rights
that both have. Roles come with the shape; who holds which is data (`systemuserroles_association`).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from crmbridge.sandbox.core import Row
from crmbridge.sandbox.dynamics.errors import DataverseError
from crmbridge.sandbox.dynamics.shape import DEPTHS, Role, Shape
from crmbridge.sandbox.dynamics.store import Store
from crmbridge.sandbox.dynamics.tables import Table

NONE, USER, UNIT, DEEP, ORGANIZATION = (
    DEPTHS[name] for name in ("none", "user", "businessunit", "deep", "organization")
)
EVERYTHING = "*"
# In the order of their bits: https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/accessrights
RIGHTS = {
    "read": "ReadAccess", "write": "WriteAccess", "append": "AppendAccess", "appendto": "AppendToAccess",
    "create": "CreateAccess", "delete": "DeleteAccess", "share": "ShareAccess", "assign": "AssignAccess",
}  # fmt: skip
MASKS = {
    "read": 1, "write": 2, "append": 4, "appendto": 16, "create": 32, "delete": 65536, "share": 262144,
    "assign": 524288,
}  # fmt: skip
SHARES = "principalobjectaccess"  # who may do what with a row that was shared with them
_VERBS = {"appendto": "AppendTo"}


@dataclass(frozen=True, kw_only=True)
class Rights:
    """The sum of some roles."""

    roles: tuple[Role, ...]

    def depth(self, table: str, verb: str) -> int:
        found = NONE
        for role in self.roles:
            verbs = role.tables.get(table, role.tables.get(EVERYTHING, {}))
            found = max(found, verbs.get(verb, NONE))
        return found

    def has(self, privilege: str) -> bool:
        return any(privilege in role.privileges or EVERYTHING in role.privileges for role in self.roles)

    @property
    def full(self) -> bool:
        """Nothing is out of reach: the ordinary case, told apart once per request."""
        return any(
            EVERYTHING in role.privileges
            and set(role.tables) == {EVERYTHING}
            and all(depth == ORGANIZATION for depth in role.tables[EVERYTHING].values())
            for role in self.roles
        )

    def column(self, table: str, column: str, verb: str) -> bool:
        name = f"{table}.{column}"
        return self.full or any(verb in role.columns.get(name, ()) for role in self.roles)


def privilege_name(table: Table, verb: str) -> str:
    return f"prv{_VERBS.get(verb, verb.capitalize())}{table.schema}"


def roles_of(store: Store, user: str) -> tuple[Role, ...]:
    """A user's own roles and those of the teams that the user is a member of."""
    shape = store.shape
    teams = _linked(store, "teammembership_association", "systemuser", user)
    ids = [
        *_linked(store, "systemuserroles_association", "systemuser", user),
        *(each for team in teams for each in _linked(store, "teamroles_association", "team", team)),
    ]
    names = (store.rows("role").get(each, {}).get("name", "") for each in dict.fromkeys(ids))
    return tuple(shape.roles[name] for name in names if name in shape.roles)


def _linked(store: Store, name: str, table: str, key: str) -> list[str]:
    association = store.shape.associations.get(name)
    if association is None:
        return []
    (_, own), (_, other) = association.sides(table)
    rows = store.rows(association.table)
    return [rows[each][other] for each in store.find(association.table, own, key)]


class Access:
    """What one request may do."""

    def __init__(self, store: Store, user: str, caller: str) -> None:
        self.store = store
        self.user = user
        self.caller = caller
        self.secured = bool(store.shape.roles)
        self._held = [Rights(roles=roles_of(store, each)) for each in dict.fromkeys((user, caller))]
        self._owners: set[tuple[str, str, str]] = set()
        self.full = not self.secured or all(rights.full for rights in self._held)

    @property
    def shape(self) -> Shape:
        return self.store.shape

    # Questions

    def depth(self, table: Table, verb: str) -> int:
        return ORGANIZATION if self.full else min(rights.depth(table.name, verb) for rights in self._held)

    def has(self, privilege: str) -> bool:
        return self.full or all(rights.has(privilege) for rights in self._held)

    def reaches(self, table: Table, row: Row, depth: int) -> bool:
        """Is the row within the depth? Rows without an owner are the organization's: any depth reaches them."""
        if depth == ORGANIZATION or (depth > NONE and "ownerid" not in table.columns):
            return True
        if depth == NONE:
            return False
        owner, kind = row.get("ownerid"), row.get("_ownerid_type")
        if owner == self.user or (kind == "team" and owner in self._teams()):
            return True
        return depth > USER and row.get("owningbusinessunit") in self._units(deep=depth == DEEP)

    def allows(self, table: Table, row: Row, verb: str, depth: int | None = None) -> bool:
        """The right on this row, by a role or because it was shared; that needs the privilege at any depth, too."""
        depth = self.depth(table, verb) if depth is None else depth
        return self.reaches(table, row, depth) or (depth != NONE and self._shared(row[table.key], verb))

    def _shared(self, key: str, verb: str) -> bool:
        if SHARES not in self.shape.tables or not (shares := self.store.rows(SHARES)):
            return False
        who = {self.user, *self._teams()}
        found = (shares[each] for each in self.store.find(SHARES, "objectid", key))
        return any(share["principalid"] in who and share["accessrightsmask"] & MASKS[verb] for share in found)

    def _teams(self) -> list[str]:
        return _linked(self.store, "teammembership_association", "systemuser", self.user)

    def _units(self, *, deep: bool) -> set[str]:
        own = (self.store.get("systemuser", self.user) or {}).get("businessunitid")
        found = {own} if own is not None else set[str]()
        waiting = list(found) if deep else []
        while waiting:
            below = self.store.find("businessunit", "parentbusinessunitid", waiting.pop())
            waiting += [each for each in below if each not in found]
            found.update(below)
        return found

    def visible(self, table: Table) -> Callable[[Row], bool] | None:
        """Which rows of a table can be read; None for all of them."""
        if self.full or (depth := self.depth(table, "read")) == ORGANIZATION:
            return None
        return lambda row: self.allows(table, row, "read", depth)

    def hidden(self, table: Table) -> frozenset[str]:
        """Secured columns that read as null: dataverse-api §10.3 (that they read as null is (unverified))."""
        return frozenset(name for name in table.secured if not self._column(table, name, "read"))

    def _column(self, table: Table, name: str, verb: str) -> bool:
        return all(rights.column(table.name, name, verb) for rights in self._held)

    # Refusals

    def check_owner(self, table: Table, owner: str, kind: str) -> None:
        """Asked once per request for each owner and table."""
        if (table.name, kind, owner) not in self._owners:
            may_own(self.store, table, owner, kind)
            self._owners.add((table.name, kind, owner))

    def demand(self, table: Table, verb: str) -> None:
        """The privilege on the table at any depth: dataverse-api §10.3."""
        if not self.full and self.depth(table, verb) == NONE:
            raise missing_privilege(self.user, privilege_name(table, verb))

    def demand_named(self, privilege: str) -> None:
        if not self.has(privilege):
            raise missing_privilege(self.user, privilege)

    def demand_organization_read(self, table: Table) -> None:
        """Change tracking answers only to who can read the whole table: dataverse-api §3.1; code (unverified)."""
        if not self.full and self.depth(table, "read") < ORGANIZATION:
            raise missing_privilege(self.user, privilege_name(table, "read"))

    def demand_row(self, table: Table, row: Row, verb: str) -> None:
        """The right on this one row: dataverse-api §10.3."""
        if self.full:
            return
        self.demand(table, verb)
        if not self.allows(table, row, verb):
            raise DataverseError(
                403,
                "0x80048306",
                f"Principal user (Id={self.user}, type=8) does not have {RIGHTS[verb]} right(s) for record with id "
                f"{row[table.key]} of entity {table.name}",
            )

    def demand_columns(self, table: Table, names: Iterable[str], verb: str) -> None:
        """Field security on a write; the codes are (unverified), their names stand in dataverse-api §10.3's source."""
        if self.full or not table.secured:
            return
        for name in names:
            if name in table.secured and not self._column(table, name, verb):
                code, text = _COLUMN_REFUSALS[verb]
                raise DataverseError(403, code, text)  # dataverse-api §10.2: 403 privilege (unverified)

    def demand_links(self, table: Table, values: Mapping[str, object]) -> None:
        """Append on the row that gets a lookup, append to on the one that it names (dataverse-api §6.9)."""
        if self.full:
            return
        for name in values:
            column = table.columns.get(name)
            if column is None or not column.is_lookup or column.kind == "Owner" or values[name] is None:
                continue
            target = str(values.get(column.type_key) or column.targets[0].table)
            self.demand(table, "append")
            self.demand(self.shape.tables[target], "appendto")


_COLUMN_REFUSALS = {  # (unverified)
    "create": (
        "0x8004F502",
        "The user does not have create permissions to a secured field. The requested operation could not be completed.",
    ),
    "update": (
        "0x8004F507",
        "The user does not have update permissions to a secured field. The requested operation could not be completed.",
    ),
}


def missing_privilege(user: str, privilege: str) -> DataverseError:
    """dataverse-api §10.3"""
    return DataverseError(
        403,
        "0x80040220",
        f"Principal user (Id={user}, type=8) is missing {privilege} privilege",
    )


def check_signed_in(store: Store, user: str) -> None:
    """Users that the environment does not let in at all: dataverse-api §1.4, §10.3."""
    row = store.get("systemuser", user)
    if row is None:
        raise DataverseError(403, "0x80072560", "The user is not a member of the organization.")
    if row.get("isdisabled"):
        raise disabled_user(user)
    if store.shape.roles and not roles_of(store, user):  # status (unverified)
        raise DataverseError(
            403,
            "0x80042F09",
            f"The user with id {user} has not been assigned any roles. They need a role with prvReadUser.",
        )


def disabled_user(user: str) -> DataverseError:
    """dataverse-api §1.4, §10.3"""
    return DataverseError(
        403, "0x80040225", f"The specified user(Id = {user}) is disabled. Consider enabling this user."
    )


def may_own(store: Store, table: Table, owner: str, kind: str) -> None:
    """An owner is enabled, and may read the table: dataverse-api §9.3."""
    if kind == "systemuser":
        row = store.get("systemuser", owner) or {}
        if row.get("isdisabled"):  # status (unverified)
            raise disabled_user(owner)
        roles = roles_of(store, owner)
    else:
        row = store.get("team", owner) or {}
        if row.get("teamtype") == 1:  # an access team owns nothing: dataverse-api §9.3; code (unverified)
            raise DataverseError(
                400, "0x80040203", f"The team {row.get('name')} is an access team and cannot own records."
            )
        roles = tuple(
            store.shape.roles[name]
            for each in _linked(store, "teamroles_association", "team", owner)
            if (name := store.rows("role").get(each, {}).get("name", "")) in store.shape.roles
        )
    if store.shape.roles and Rights(roles=roles).depth(table.name, "read") == NONE:
        raise missing_privilege(owner, privilege_name(table, "read"))

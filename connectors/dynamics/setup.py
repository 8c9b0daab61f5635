"""What we want in a Dynamics environment: change tracking, and a role that reaches the whole organization, no more.

Ids of new rows are chosen by us, so no key column is needed; an alternate key only shows the link to people and keeps a
second installation from making the same row. Nothing is made here: a table's definition is replaced as a whole by the
Web API, with all that others have set in it, and a role is for the administrator to grant.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from connectors.dynamics.client import Client
from connectors.dynamics.environment import Environment
from connectors.dynamics.rollcall import GLOBAL, depths
from connectors.dynamics.rows import TABLES
from connectors.setup import OUR_USER, State, Wish
from crmbridge.errors import CrmBridgeError, TryLater
from crmbridge.model import ENTITIES, Entity

VERBS: Final = ("Create", "Read", "Write", "Append", "AppendTo", "Assign")
# QualifyLead reads these (lifecycle §6, row 12).
ALSO: Final = {
    "prvReadAttributeMap": "Read on Attribute Map",
    "prvReadEntityMap": "Read on Entity Map",
    "prvReadEntity": "Read on Entity",
    "prvReadCustomization": "Read on Customizations",
}
# What we never do, and roles such as System Administrator and System Customizer have. Who may write roles may give
# itself all the others. Names that the fact sheet does not have are (unverified).
TOO_MUCH: Final = {
    "prvWriteRole": "Write on Security Role (System Administrator?)",
    "prvAssignRole": "Assign Security Role",
    "prvCreateUser": "Create on User",
    "prvWriteUser": "Write on User",
    "prvCreateEntity": "Create on Entity (System Customizer?)",
    "prvWriteEntity": "Write on Entity (System Customizer?)",
    "prvActOnBehalfOfAnotherUser": "Act on Behalf of Another User",
    "prvBypassCustomPlugins": "Bypass Custom Plug-ins",
    "prvBypassCustomBusinessLogic": "Bypass Custom Business Logic",
}
ALTERNATE: Final = "new_salesforceid"
_ROLE: Final = "Power Platform admin center, Environments, Settings, Users + permissions, Security roles, our role"


class Setup:
    def __init__(self, client: Client, environment: Environment, user_id: str) -> None:
        self._client, self._environment, self._user_id = client, environment, user_id

    def wishes(self) -> list[Wish]:
        return [*(wish for entity in ENTITIES for wish in self._table(entity)), *self.rights()]

    def _table(self, entity: Entity) -> Iterable[Wish]:
        tracked = self._environment.table(entity).tracked
        how = f"Power Apps, Tables, {entity.title()}, Properties, Advanced options: Track changes. It cannot be undone."
        yield Wish(
            where=entity, what="change tracking", state="there" if tracked else "by hand", how="" if tracked else how
        )
        yield Wish(
            where=entity,
            what=f"alternate key on a column {ALTERNATE} (Text 18)",
            state="by hand",
            optional=True,
            how=f"Not needed; it shows people the link. Power Apps, Tables, {entity.title()}, Columns, New "
            f"({ALTERNATE}, single line of text, 18); Keys, New; map it with `rule: create only`.",
        )

    def rights(self) -> list[Wish]:
        try:
            held = depths(self._client, self._user_id)
        except TryLater:
            raise  # nobody is called now, so nothing is known
        except (CrmBridgeError, msgspec.DecodeError) as error:
            why = error.message if isinstance(error, CrmBridgeError) else "the answer was not understood"
            return [Wish(where=OUR_USER, what="a role of its own", state="unread", how=f"{_ROLE}. ({why})")]
        if not any(held):
            return [Wish(where=OUR_USER, what="a role of its own", state="unread", how=f"{_ROLE}: names are not told.")]
        return [*_tables(held), *_others(held)]


def _tables(held: Mapping[str, str]) -> Iterable[Wish]:
    for entity in ENTITIES:
        name = TABLES[entity].name
        wanting = [verb for verb in VERBS if held.get(f"prv{verb}{name}".casefold()) != GLOBAL]
        state: State = "by hand" if wanting else "there"
        how = f"{_ROLE}, {entity.title()}: {', '.join(wanting)} at the level Organization." if wanting else ""
        yield Wish(where=OUR_USER, what=f"{', '.join(VERBS)} on {entity}, organization level", state=state, how=how)


def _others(held: Mapping[str, str]) -> Iterable[Wish]:
    for name, words in ALSO.items():
        there = name.casefold() in held
        state: State = "there" if there else "by hand"
        yield Wish(where=OUR_USER, what=words, state=state, how="" if there else f"{_ROLE}: {words}.")
    for name, words in TOO_MUCH.items():
        if name.casefold() in held:
            yield Wish(where=OUR_USER, what=words, state="too much", how="Give our user a role of its own instead.")

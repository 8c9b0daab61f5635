"""What `check --live` learns by asking both CRMs: who answers, what we may do, what our keys and owners need.

Counts, and of users the ids, never rows: a check shows nobody's data (lifecycle §6). Whether fields, statuses and
stages fit the mapping is the mapping's own third layer; the descriptions that it needs come from here.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from crmbridge.cli.breakers import BREAKERS, breakers, compiled_if_right, first_few
from crmbridge.cli.named import bucket_findings, names_buckets, owner_findings, with_default_owners
from crmbridge.errors import ConfigError, CrmBridgeError
from crmbridge.model import SIDES, Directory, Entity, Side

if TYPE_CHECKING:
    from connectors.base import Connector, Description, Identity
    from crmbridge.cli.check import Findings
    from crmbridge.settings import Settings
    from mapping import Compiled, Documents

T = TypeVar("T")


def look(
    found: "Findings", settings: "Settings", connectors: "Mapping[Side, Connector]", documents: "Documents"
) -> "dict[tuple[Side, Entity], Description]":
    """Says what it sees; returns the descriptions of what answered. The connectors know of no default owner."""
    from crmbridge import wiring
    from mapping.group_live import group_findings, person_findings
    from mapping.people import names_groups

    descriptions: dict[tuple[Side, Entity], Description] = {}
    directories: dict[Side, Directory] = {}
    us: dict[Side, str] = {}
    for side in SIDES:
        connector = connectors[side]
        identity = _identity(found, connector)
        if identity is None:
            continue
        us[side] = identity.user_id
        groups = any(names_groups(document, side) for document in documents)
        directory = _ask(found, connector, lambda c=connector, g=groups: c.directory(groups=g))
        if directory is not None:
            directories[side] = directory
        _rights(found, connector, identity.user_id)
        for document in documents:
            entity = document.entity
            description = _ask(found, connector, lambda e=entity, c=connector: c.describe(e))
            if description is not None:
                descriptions[side, entity] = description
                _table(found, connector, description)
    named = [one for each in documents for tell in (group_findings, person_findings) for one in tell(each, directories)]
    for finding in {str(one): one for one in named}.values():
        found.tell(finding)  # a shared table is named by several mappings, and told once
    for finding in owner_findings(settings, directories):
        found.tell(finding)
    directories = with_default_owners(settings, directories)
    if len(directories) == len(SIDES):
        _people(found, connectors, directories, us)
        _currencies(found, connectors, directories)
    compiled = compiled_if_right(documents, descriptions)
    if compiled is not None:
        wiring.configure(connectors, compiled)
        _buckets(found, settings, connectors, compiled)
    breakers(found, connectors, compiled, documents, descriptions, directories, us)
    return descriptions


def look_around(found: "Findings", settings: "Settings") -> None:
    """The store, and a broker of the operator's own."""
    from crmbridge import wiring

    try:
        store = wiring.open_store(settings)
        found.say("note", "store", f"{store.place} answers")
        store.close()
        url = settings.broker_url()
        if url is not None:
            from workers import broker
            from workers.config import kombu_url

            policy = broker.ping(kombu_url(url))
            found.say("note", "broker", f"{broker.without_password(url)} answers")
            if policy not in ("noeviction", ""):
                found.say(
                    "warning", "broker", f"its maxmemory-policy is {policy}: it may drop messages; set noeviction"
                )
    except CrmBridgeError as error:
        found.say("error" if error.exit_code == ConfigError.exit_code else "warning", "store and broker", str(error))
        if error.exit_code != ConfigError.exit_code:
            found.outside = error


def _identity(found: "Findings", connector: "Connector") -> "Identity | None":
    identity = _ask(found, connector, connector.identity)
    if identity is not None:
        kind = "PRODUCTION" if identity.production else "a sandbox"
        found.say(
            "note",
            connector.name,
            f"answers as {identity.name or connector.system}, organization {identity.org_id}, {kind}, "
            f"user {identity.user_id}",
        )
    return identity


def _buckets(
    found: "Findings", settings: "Settings", connectors: "Mapping[Side, Connector]", compiled: "Compiled"
) -> None:
    from crmbridge.wiring import POWERS

    if not names_buckets(settings):
        return
    if "account" not in compiled.entities:
        said = "could not be checked: the accounts that `bucket` names: no mapping of accounts is there; look by hand"
        found.say("note", settings.path.name, said, code="bucket-unknown")
        return
    needy: dict[Side, bool] = {side: POWERS[one.system].needs_account for side, one in connectors.items()}
    asked = [connectors[side] for side in SIDES if needy[side]]
    told = _ask(found, asked[0], lambda: list(bucket_findings(settings, connectors, needy))) if asked else None
    for finding in told or ():
        found.tell(finding)


def _ask(found: "Findings", connector: "Connector", question: Callable[[], T]) -> T | None:
    """A CRM that does not answer is one finding; the other one is still looked at."""
    try:
        return question()
    except CrmBridgeError as error:
        if not any(line.message == str(error) for line in found.lines):
            level = "error" if error.exit_code == ConfigError.exit_code else "warning"
            found.say(level, connector.name, str(error), code=error.code or None)
        if error.exit_code != ConfigError.exit_code and found.outside is None:
            found.outside = error
        return None


def _rights(found: "Findings", connector: "Connector", user_id: str) -> None:
    """What our user lacks at the level of the organization, and what is too much for it."""
    from connectors.setup import OUR_USER, Installer

    if not isinstance(connector, Installer):
        return
    wishes = _ask(found, connector, lambda: connector.rights(user_id)) or ()
    too_much: dict[str, list[str]] = {}  # by what is to be done about it
    for wish in wishes:
        if wish.state == "too much":
            too_much.setdefault(wish.how, []).append(wish.what)
    for how, names in too_much.items():
        said = f"our user has rights that are too much for it: {', '.join(names)}. {how}"
        found.say("warning", connector.name, said, code=BREAKERS[12].code)
    for wish in wishes:
        what = f"{wish.what} on {wish.where}" if wish.where != OUR_USER else wish.what
        if wish.state == "by hand":
            found.say("warning", connector.name, f"our user lacks: {what}. {wish.how}", code=BREAKERS[12].code)
        elif wish.state == "unread":
            said = f"could not be checked: whether our user has {what}. {wish.how}"
            found.say("note", connector.name, said, code=BREAKERS[12].code)


# --- tables -------------------------------------------------------------------------------------------------------


def _table(found: "Findings", connector: "Connector", description: "Description") -> None:
    where = f"{connector.name}.{description.table}"
    for note in description.notes:
        found.say("note", where, note)
    if connector.system == "salesforce" and not description.key_field:
        found.say(
            "warning",
            where,
            "has no key field that is external id and unique; records made here are found again by the slower way of "
            "comparing evidence. Add one (text 36, external id, unique) and name it as the connection's key_field",
        )
    if not any(column.createable for column in description.columns.values()):
        found.say(
            "warning", where, "our user may create nothing here; give it the right to create, or map one way only"
        )
    elif not any(column.updateable for column in description.columns.values()):
        found.say("warning", where, "our user may change nothing here; give it the right to edit, or map one way only")


# --- owners and currencies ----------------------------------------------------------------------------------------


def _people(
    found: "Findings",
    connectors: "Mapping[Side, Connector]",
    directories: Mapping[Side, Directory],
    us: Mapping[Side, str],
) -> None:
    for side in SIDES:
        there: Side = "right" if side == "left" else "left"
        mine = {email for email, id in directories[side].user_ids.items() if id != us[side]}
        without = sorted(directories[side].user_ids[email] for email in mine - set(directories[there].user_ids))
        if without:
            fallback = directories[there].default_owner
            found.say(
                "note" if fallback else "warning",
                connectors[side].name,
                f"{len(without)} of {len(mine)} active users have no partner with the same e-mail on "
                f"{connectors[there].name} ({first_few(without)}); "
                + (
                    "what they own goes to its default_owner"
                    if fallback
                    else "what they own is made for our own user there; set that connection's default_owner"
                ),
                ids=without,
            )


def _currencies(
    found: "Findings", connectors: "Mapping[Side, Connector]", directories: Mapping[Side, Directory]
) -> None:
    def known(side: Side) -> set[str]:
        one = directories[side]
        return set(one.currencies.values()) | {one.currency} if one.multi_currency else {one.currency}

    for side in SIDES:
        there: Side = "right" if side == "left" else "left"
        missing = sorted(known(side) - known(there))
        if missing:
            found.say(
                "warning",
                connectors[side].name,
                f"uses {', '.join(missing)}, which {connectors[there].name} does not have; "
                "amounts in it are held until the currency is added there",
            )

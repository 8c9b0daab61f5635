"""People and accounts that crmbridge.yaml names and only the two CRMs know, held to those that they have."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from crmbridge.errors import RefusedError
from crmbridge.model import SIDES, Directory, Side
from crmbridge.policy import Bucket, Overlay
from crmbridge.settings.profile import read_with_profile
from mapping.people import fold_email
from mapping.problem import Finding, Path

if TYPE_CHECKING:
    from connectors.base import Connector
    from crmbridge.settings import Settings
    from crmbridge.settings.options import Options


def with_default_owners(settings: "Settings", directories: Mapping[Side, Directory]) -> dict[Side, Directory]:
    """For connectors that were not told of one (`wiring.open_to_ask`, owners=False)."""
    return {
        side: replace(one, default_owner=one.user_ids.get(fold_email(named[1])))
        if (named := settings.default_owner(side))
        else one
        for side, one in directories.items()
    }


def owner_findings(settings: "Settings", directories: Mapping[Side, Directory]) -> Iterator[Finding]:
    """Those who shall own what nobody else owns: each must be one active user. A CRM that did not answer is left out.

    Without one a run would not begin (`default_owner`)."""
    source = read_with_profile(settings.path, settings.profile)
    for path, side, email in _owners(settings):
        if side in directories and fold_email(email) not in directories[side].user_ids:
            name = settings.name(side)
            yield source.finding(
                path,
                f"{name} has no single active user {email!r}; write the address of one who is active there",
                code="fallback-unknown",
            )


def names_buckets(settings: "Settings") -> bool:
    return any(True for _ in _buckets(settings))


def bucket_findings(
    settings: "Settings", connectors: "Mapping[Side, Connector]", needs_account: Mapping[Side, bool]
) -> Iterator[Finding]:
    """Accounts that stand in where there is none: one call for all. The connectors must be configured for accounts.

    Raises as a read does."""
    named = list(_buckets(settings))
    sides: list[Side] = [side for side in SIDES if needs_account[side]]
    known = {id for side in sides for id in _there(connectors[side], [id for _, id in named])}
    source = read_with_profile(settings.path, settings.profile)
    for path, id in named:
        if id not in known:
            where = " and ".join(settings.name(side) for side in sides)
            yield source.finding(
                path,
                f"{where} has no account {id!r}, or our user may not see it; write the id of one that it has",
                code="bucket-unknown",
            )


def _there(connector: "Connector", ids: list[str]) -> set[str]:
    """Of these ids. What is no id at all may spoil the question, so then each is asked for by itself."""
    unique = list(dict.fromkeys(ids))
    try:
        return set(connector.fetch("account", unique))
    except RefusedError:
        return set() if len(unique) == 1 else {id for one in unique for id in _there(connector, [one])}


def _owners(settings: "Settings") -> Iterator[tuple[Path, Side, str]]:
    for side in SIDES:
        named = settings.default_owner(side)
        if named is not None:
            yield named[0], side, named[1]
    for way, overlay in _overlays(settings):
        for side, email in overlay.get("owner", {}).get("fallback", {}).items():
            yield (*way, "owner", "fallback", settings.name(side)), side, email


def _buckets(settings: "Settings") -> Iterator[tuple[Path, str]]:
    for way, overlay in _overlays(settings):
        for group, option in (("convert", "contact_only"), ("close", "contact_customer")):
            choice = overlay.get(group, {}).get(option)
            if isinstance(choice, Bucket):
                yield (*way, group, option, "bucket"), choice.bucket


def _overlays(settings: "Settings") -> Iterator[tuple[Path, Overlay]]:
    """All options that stand in the settings, with the path of their section."""
    parts: list[tuple[Path, Options]] = [(("lifecycle",), settings.options)]
    parts += [(("segments", one.name, "lifecycle"), one.options) for one in settings.segments]
    for way, options in parts:
        yield way, options.overlay
        for entity, overlay in options.by_entity.items():
            yield (*way, entity), overlay

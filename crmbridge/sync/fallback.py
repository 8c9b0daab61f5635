"""Who gets a record whose owner has no user on its side, where that was chosen for a part of the records.

`owner.fallback` of a segment, or of one kind of records, goes before the one for all, which the connectors know
themselves (`Directory.default_owner`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from crmbridge.errors import ConfigError
from crmbridge.model import ENTITIES, SIDES, Directory, Seen, Side
from crmbridge.policy import Policies, Policy
from crmbridge.sync.hands import Hands
from mapping.people import fold_email


def directories_for(hands: Hands, seen: Seen) -> Mapping[Side, Directory]:
    """Both sides' users, as this record, or the left one of a pair, has them."""
    if not hands.has_fallbacks:
        return hands.directories
    return _with(hands.directories, hands.policy(seen))


def check_fallbacks(policies: Policies, directories: Mapping[Side, Directory], names: Mapping[Side, str]) -> None:
    """Raises ConfigError for one who is no user there: every record of nobody would be told otherwise."""
    for where, side, email in _all(policies):
        if fold_email(email) not in directories[side].user_ids:
            raise ConfigError(
                f"{where}: {email} is not one active user of {names[side]}.",
                fix=f"Write the e-mail address of a user who is active in {names[side]}.",
                code="default_owner",
            )


def _with(directories: Mapping[Side, Directory], policy: Policy) -> Mapping[Side, Directory]:
    chosen = {side: fold_email(email) for side, email in policy.owner.fallback.items()}
    return {
        side: replace(one, default_owner=one.user_ids[chosen[side]]) if chosen.get(side) in one.user_ids else one
        for side, one in directories.items()
    }


def _all(policies: Policies) -> Iterator[tuple[str, Side, str]]:
    """With where it was chosen, for people."""
    for entity in ENTITIES:
        for policy in policies.every(entity):
            for side in SIDES:
                if side in policy.owner.fallback:
                    section = f"segments.{policy.segment}.lifecycle" if policy.segment else "lifecycle"
                    yield f"{section}.owner.fallback, for {entity} records", side, policy.owner.fallback[side]

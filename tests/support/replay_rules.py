"""When a sandbox's answer equals a recorded one: the same keys, types, texts and numbers, ids in their places.

What may differ stands in `ACCEPTED`, each with its reason; whatever is not named there is a difference.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tests.support.recorded_org import STAMP

ID: Final = re.compile(r"[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?")
IN_URL: Final = re.compile(r"(?<=/)[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?(?=[/?]|$)")
VERSIONED: Final = re.compile(r"v?(?:\d\d|xx)\.0|<api_version>")
HOST: Final = re.compile(r"https://[^/]+")


# Every difference that is accepted, and why; each answer tells which of them it used.
ACCEPTED: Final = {
    "id": "each org gives its own; once one stands for a recorded one, it must do so everywhere",
    "stamp": "the clock is the sandbox's; the form is compared",
    "address": "host and version are the sandbox's; the path is compared",
    "secret": "taken out of the recordings, or signed anew",
    "person": "who logs in is the sandbox's own user",
    "version": "the version was taken out of the recording",
    "progress": "how far a bulk job is when asked is the clock's matter; states and counts are compared by form",
    "order": "a query without ORDER BY promises none; each row is compared with its own",
    "younger server": "a key that servers got after the recording, in every version",
    "other objects": "the sandbox's org has objects that the recorded list, or its list of children, has not",
    "undeclared": "children of objects that nothing in the recording describes (feeds, histories, shares and so on)",
    "described elsewhere": "the description is kept once for recordings of several days and orgs; this one's own reads"
    " say which columns and record types it has",
    "edited by hand": "a shared description has lookups that its parents' have not among their children",
}


@dataclass(kw_only=True)
class Names:
    """Which id of the sandbox stands for which recorded one; once learnt, they must stay together."""

    ours: dict[str, str] = field(default_factory=dict[str, str])
    theirs: dict[str, str] = field(default_factory=dict[str, str])

    def same(self, recorded: str, answered: str) -> bool:
        """Both are ids of one object, of the same length, and stand for each other wherever they stand."""
        alike = len(recorded) == len(answered) and (recorded[:3] == answered[:3] or "x" in recorded[:5])
        if not (alike and ID.fullmatch(recorded) and ID.fullmatch(answered)):
            return False
        known = self.ours.setdefault(recorded[:15], answered[:15]) == answered[:15]
        return known and self.theirs.setdefault(answered[:15], recorded[:15]) == recorded[:15]

    def fill(self, text: str) -> str:
        """A request's text with our ids; of the long form the suffix is asked for by nobody, so the short one does."""
        return re.sub(r"(?<![0-9A-Za-z])[0-9A-Za-z]{15,18}(?![0-9A-Za-z])", lambda match: self._ours(match[0]), text)

    def _ours(self, word: str) -> str:
        return self.ours.get(word[:15], word) if len(word) in (15, 18) and word[:15] in self.ours else word


def _is_id(names: Names, place: str, recorded: Any, answered: Any) -> bool:
    return isinstance(recorded, str) and isinstance(answered, str) and names.same(recorded, answered)


def _is_stamp(names: Names, place: str, recorded: Any, answered: Any) -> bool:
    if not (isinstance(recorded, str) and isinstance(answered, str)):
        return False
    one, other = STAMP.fullmatch(recorded), STAMP.fullmatch(answered)
    return bool(one and other and one[1] == other[1])


_ADDRESSES: Final = frozenset(
    "url location PhotoUrl nextRecordsUrl instance_url id identity serverUrl metadataServerUrl".split()
)


def _is_address(names: Names, place: str, recorded: Any, answered: Any) -> bool:
    """The same path; hosts and versions are the sandbox's own, ids stand for each other."""
    if not (isinstance(recorded, str) and isinstance(answered, str) and "/" in recorded):
        return False
    above, _, leaf = place.rpartition(".")
    ours_to_name = leaf in _ADDRESSES or above.endswith((".urls", ".photos")) or recorded.startswith("/services/data/")
    if not ours_to_name:
        return False  # a text of somebody's that happens to be an address
    mine, ours = (_plain_url(text) for text in (recorded, answered))
    one, other = IN_URL.findall(mine), IN_URL.findall(ours)
    if len(one) != len(other) or IN_URL.sub("<id>", mine) != IN_URL.sub("<id>", ours):
        return False
    return all(names.same(*pair) for pair in zip(one, other, strict=True))


def _plain_url(text: str) -> str:
    return VERSIONED.sub("<version>", HOST.sub("<host>", text.replace("<host>", "host")))


def _leaf(*wanted: str) -> "Callable[[Names, str, Any, Any], bool]":
    def holds(names: Names, place: str, recorded: Any, answered: Any) -> bool:
        return place.rpartition(".")[2] in wanted and type(recorded) is type(answered)

    return holds


def _is_version(names: Names, place: str, recorded: Any, answered: Any) -> bool:
    return place.endswith("apiVersion") and bool(VERSIONED.fullmatch(str(answered)))


_BUSY: Final = ("Queued", "InProgress", "Completed")
_COUNTED: Final = frozenset(
    "numberBatchesQueued numberBatchesInProgress numberBatchesCompleted numberRecordsProcessed totalProcessingTime "
    "apiActiveProcessingTime".split()
)


def _is_progress(names: Names, place: str, recorded: Any, answered: Any) -> bool:
    leaf = place.rpartition(".")[2]
    if leaf == "state":
        return recorded in _BUSY and answered in _BUSY
    return leaf in _COUNTED and str(recorded).isdecimal() and str(answered).isdecimal()


Holds = Callable[[Names, str, Any, Any], bool]  # names learnt, place in the answer, recorded, answered

# Which values may differ; the first that holds counts.
VALUES: Final[dict[str, Holds]] = {
    "id": _is_id,
    "stamp": _is_stamp,
    "address": _is_address,
    "secret": _leaf("sessionId", "access_token", "signature", "issued_at"),
    "person": _leaf(
        *("userEmail", "userFullName", "userName", "username", "nick_name", "display_name", "email"),
        *("first_name", "last_name"),
    ),
    "version": _is_version,
    "progress": _is_progress,
}
# sobjectDescribeOption: a server of 2021 shows it in v42, servers before show it nowhere. custom_domain: after 2015.
YOUNGER: Final = frozenset({"sobjectDescribeOption", "custom_domain"})
# Lookups that a shared description has among its columns, and its parents' have not among their children: the file
# was edited by hand, as such a child cannot be missing in an org.
EDITED_BY_HAND: Final = {("Account", "ns__LinkedAccount__c"), ("Account", "Primary_Contact__c")}
LISTED: Final[dict[str, tuple[str, ...]]] = {  # lists whose order tells nothing, and what names an entry
    "fields": ("name",),
    "sobjects": ("name",),
    "childRelationships": ("childSObject", "field"),
}


@dataclass(kw_only=True)
class Comparison:
    names: Names
    declared: frozenset[str]  # objects of the sandbox's shape
    ordered: bool = True  # the query asked for an order
    used: Counter[str] = field(default_factory=Counter[str])

    def differences(self, place: str, recorded: Any, answered: Any) -> Iterator[str]:
        if isinstance(recorded, dict) and isinstance(answered, dict):
            yield from self._keys(place, recorded, answered)
        elif isinstance(recorded, list) and isinstance(answered, list):
            yield from self._lists(place, recorded, answered)
        elif type(recorded) is not type(answered) or recorded != answered:
            yield from self._values(place, recorded, answered)
        elif isinstance(recorded, str) and ID.fullmatch(recorded):
            self.names.same(recorded, answered)

    def _keys(self, place: str, recorded: dict[str, Any], answered: dict[str, Any]) -> Iterator[str]:
        for key in recorded.keys() - answered.keys():
            yield f"{place}: {key} is missing"
        for key in answered.keys() - recorded.keys():
            if key in YOUNGER:
                self.used["younger server"] += 1
            else:
                yield f"{place}: {key} is too much"
        for key in recorded.keys() & answered.keys():
            yield from self.differences(f"{place}.{key}", recorded[key], answered[key])

    def _lists(self, place: str, recorded: list[Any], answered: list[Any]) -> Iterator[str]:
        kind = place.rpartition(".")[2]
        if kind in LISTED and all(isinstance(each, dict) for each in recorded):
            yield from self._named(place, kind, recorded, answered)
            return
        if len(recorded) != len(answered):
            yield f"{place}: {len(recorded)} recorded, {len(answered)} answered"
            return
        if kind == "records" and not self.ordered:
            answered = self._in_order(recorded, answered)
        for at, pair in enumerate(zip(recorded, answered, strict=True)):
            yield from self.differences(f"{place}[{at}]", *pair)

    def _in_order(self, recorded: list[Any], answered: list[Any]) -> list[Any]:
        """Rows of a query without ORDER BY come in any order; each is compared with its own."""

        def key(row: Any) -> str:
            return str(row.get("attributes", {}).get("url", "")).rpartition("/")[2][:15]

        by_key = {key(row): row for row in answered}
        wanted = [self.names.ours.get(key(row), "") for row in recorded]
        if len(by_key) != len(answered) or set(wanted) != by_key.keys() or wanted == [key(row) for row in answered]:
            return answered
        self.used["order"] += 1
        return [by_key[each] for each in wanted]

    def _named(self, place: str, kind: str, recorded: list[Any], answered: list[Any]) -> Iterator[str]:
        ours = {tuple(each[name] for name in LISTED[kind]): each for each in answered}
        theirs = {tuple(each[name] for name in LISTED[kind]): each for each in recorded}
        for key, each in theirs.items():
            where = f"{place}.{'.'.join(key)}"
            if key in ours:
                yield from self.differences(where, each, ours[key])
            elif kind == "childRelationships" and key[0] not in self.declared:
                self.used["undeclared"] += 1
            elif kind == "fields" and self.elsewhere and place == "body.fields":
                self.used["described elsewhere"] += 1
            else:
                yield f"{where} is missing"
        for key in ours.keys() - theirs.keys():
            if kind == "childRelationships" and key in EDITED_BY_HAND:
                self.used["edited by hand"] += 1
            elif kind == "fields" or (kind == "childRelationships" and key[0] in self.recorded_objects):
                yield f"{place}.{'.'.join(key)} is too much"
            else:
                self.used["other objects"] += 1

    recorded_objects: frozenset[str] = frozenset()  # objects that the recording itself describes
    own_types: bool = False  # the recording itself reads the record types, and others than the description shows
    elsewhere: bool = False  # the recorded answer is kept once for several recordings

    def _values(self, place: str, recorded: Any, answered: Any) -> Iterator[str]:
        plain = re.sub(r"\[\d+\]", "", place)
        types = self.elsewhere and self.own_types and plain.startswith("body.recordTypeInfos")
        if types and type(recorded) is type(answered):
            self.used["described elsewhere"] += 1
            return
        for name, holds in VALUES.items():
            if holds(self.names, plain, recorded, answered):
                self.used[name] += 1
                return
        yield f"{place}: recorded {_short(recorded)}, answered {_short(answered)}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 120 else f"{text[:117]}..."

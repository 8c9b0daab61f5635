"""Recognising twins: which unlinked records on the two sides are the same, pure.

One-to-one and unique on both sides; keys are tried in the mapping's order; the first key that decides wins, and a key
that finds two candidates stops for a person instead of falling through to a weaker one (lifecycle: first coupling).
"""

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from urllib.parse import urlsplit

from crmbridge.model import Entity, FieldRule, Fields, Money, Side, State, Unlinked, Value, other

FORMS = 1  # one more with each change of a normal form: what is kept of older ones is made anew
AMOUNT_TOLERANCE = Decimal("0.01")  # of the larger one
DATE_TOLERANCE = timedelta(days=31)

# One legal form at the end of a company's name says nothing about which company it is.
_LEGAL_FORMS = frozenset(
    "inc incorporated ltd limited llc llp lp plc corp corporation co company gmbh ag kg ohg se ab oy oyj as asa aps sa "
    "sas sarl srl spa bv nv kk pty pte".split()
)
# Domains that many companies share: never evidence for an account.
_SHARED_DOMAINS = frozenset(
    "gmail.com googlemail.com outlook.com hotmail.com live.com yahoo.com icloud.com me.com aol.com gmx.de gmx.net "
    "web.de mail.ru qq.com 163.com proton.me protonmail.com facebook.com linkedin.com wixsite.com wordpress.com "
    "blogspot.com github.io".split()
)
_ROLE_ADDRESSES = frozenset("info sales contact office admin support hello mail service kontakt post team".split())
# Second-level registries under which one more label is needed.
_SECOND_LEVEL = frozenset("co com org net gov ac edu".split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    id: str
    fields: Fields
    state: State | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Records that could be each other's partner, and nobody but a person can tell."""

    left: tuple[str, ...]
    right: tuple[str, ...]
    key: str
    cause: str = "ambiguous_match"  # or state_differs


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    pairs: tuple[tuple[str, str, str], ...]  # (left id, right id, key in words)
    held: tuple[Cluster, ...]
    by_key: Mapping[str, int] = field(default_factory=dict)


def match(
    entity: Entity,
    keys: Sequence[Sequence[str]],
    rules: Mapping[str, FieldRule],
    left: Iterable[Candidate],
    right: Iterable[Candidate],
) -> Matches:
    free: tuple[dict[str, Candidate], dict[str, Candidate]] = (
        {candidate.id: candidate for candidate in left},
        {candidate.id: candidate for candidate in right},
    )
    pairs: list[tuple[str, str, str]] = []
    held: list[Cluster] = []
    by_key: dict[str, int] = {}
    for key in keys:
        name = " + ".join(key)
        exact, near = _parts(entity, key, rules)
        for lefts, rights in _clusters(free[0].values(), free[1].values(), exact, near):
            for id in lefts:
                del free[0][id]
            for id in rights:
                del free[1][id]
            if len(lefts) == 1 and len(rights) == 1:
                pairs.append((lefts[0], rights[0], name))
                by_key[name] = by_key.get(name, 0) + 1
            else:
                held.append(Cluster(left=lefts, right=rights, key=name))
    return Matches(pairs=tuple(pairs), held=tuple(held), by_key=by_key)


Exact = Callable[[Fields], tuple[str, ...] | None]
Near = Callable[[Fields, Fields], bool]


def _parts(entity: Entity, key: Sequence[str], rules: Mapping[str, FieldRule]) -> tuple[Exact, Near]:
    """A key as a hashable part (records meet in a bucket) and a part that is compared within the bucket."""
    forms, nears = _forms(entity, key, rules)
    return _exact(forms), lambda a, b: all(near(a, b) for near in nears)


Forms = list[tuple[str, Callable[[Value], str | None]]]


def _forms(entity: Entity, key: Sequence[str], rules: Mapping[str, FieldRule]) -> tuple[Forms, list[Near]]:
    forms: Forms = []
    nears: list[Near] = []
    for name in key:
        kind = rules[name].kind if name in rules else "text"
        if kind == "money":
            nears.append(_nearly(name, _amounts_meet))
        elif kind == "date":
            nears.append(_nearly(name, _dates_meet))
        elif entity == "account" and name == "name" and "website" in key:
            nears.append(_nearly(name, _names_overlap))
        else:
            forms.append((name, normal_form(name, kind)))
    return forms, nears


def _exact(forms: Forms) -> Exact:
    def exact(fields: Fields) -> tuple[str, ...] | None:
        parts: list[str] = []
        for name, form in forms:
            value = fields.get(name)
            part = None if value is None or isinstance(value, Unlinked) else form(value)
            if not part:
                return None
            parts.append(part)
        return tuple(parts)

    return exact


def _clusters(
    left: Iterable[Candidate], right: Iterable[Candidate], exact: Exact, near: Near
) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Groups of records that meet under one key, as connected components of "could be the same"."""
    buckets: dict[tuple[str, ...], tuple[list[Candidate], list[Candidate]]] = defaultdict(lambda: ([], []))
    for number, side in enumerate((left, right)):
        for candidate in side:
            part = exact(candidate.fields)
            if part is not None:
                buckets[(*part, candidate.state or "")][number].append(candidate)
    found: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
    for lefts, rights in buckets.values():
        if lefts and rights:
            found.extend(_components(lefts, rights, near))
    return found


def _components(
    lefts: Sequence[Candidate], rights: Sequence[Candidate], near: Near
) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    meets = {a.id: [b.id for b in rights if near(a.fields, b.fields)] for a in lefts}
    back: dict[str, list[str]] = defaultdict(list)
    for id, partners in meets.items():
        for partner in partners:
            back[partner].append(id)
    seen: set[str] = set()
    found: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
    for start in meets:
        if start in seen or not meets[start]:
            continue
        component: tuple[set[str], set[str]] = ({start}, set())
        queue: list[tuple[int, str]] = [(0, start)]
        while queue:
            side, id = queue.pop()
            for neighbour in (meets if side == 0 else back)[id]:
                if neighbour not in component[1 - side]:
                    component[1 - side].add(neighbour)
                    queue.append((1 - side, neighbour))
        seen |= component[0]
        found.append((tuple(sorted(component[0])), tuple(sorted(component[1]))))
    return found


# --- keys on file -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The keys of one kind of record, taken apart: whoever could meet under one has a part in common.

    Parts follow from the record alone, so that they can be kept: what depends on others (links, people) and what is
    only compared nearly is left out. So records with a part in common need not meet, but those that meet have one."""

    exacts: tuple[Exact, ...]
    owns: tuple[Exact, ...]  # the same, of the record's own values only
    whole: bool  # there is a key with nothing of its own: anybody may meet anybody

    def meeting(self, fields: Fields) -> list[tuple[str, ...]]:
        """What two records must share to be looked at together; nearness and state aside."""
        found = ((str(number), exact(fields)) for number, exact in enumerate(self.exacts))
        return [(number, *part) for number, part in found if part is not None]

    def parts(self, fields: Fields) -> list[str]:
        found = ((str(number), own(fields)) for number, own in enumerate(self.owns))
        return [_hashed(number, *part) for number, part in found if part]


def take_apart(entity: Entity, keys: Sequence[Sequence[str]], rules: Mapping[str, FieldRule]) -> Keys:
    forms = [_forms(entity, key, rules)[0] for key in keys]
    owns = [[(name, form) for name, form in some if _is_own(rules.get(name))] for some in forms]
    return Keys(
        exacts=tuple(_exact(some) for some in forms),
        owns=tuple(_exact(some) for some in owns),
        whole=not all(owns),
    )


def _is_own(rule: FieldRule | None) -> bool:
    """Does its value follow from the record alone? Not what other records, the CRM's users or a formula tell."""
    return rule is None or (rule.link is None and rule.kind != "user" and not rule.derived)


def named(side: Side, key: str) -> str:
    """The part of a record that names its partner there by our key."""
    return _hashed("our key", side, key)


def names(side: Side, key: str | None) -> list[str]:
    """The parts of a record of this side that bears our key, or none."""
    return [named(other(side), key)] if key else []


def _hashed(*words: str) -> str:
    """Short, since millions are kept; two that are the same by chance cost a look at one record more."""
    text = "\x1f".join(words)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


# --- normal forms -------------------------------------------------------------------------------------------------


def normal_form(name: str, kind: str) -> Callable[[Value], str | None]:
    if kind == "email":
        return _email
    if kind == "phone":
        return _phone
    if kind == "boolean":
        return str
    if name == "website":
        return domain
    if name == "postal_code":
        return _post_code
    if name in {"name", "company"}:
        return company
    return lambda value: plain(str(value))


def plain(text: str) -> str:
    """NFKC, no diacritics, lower case, `&` is and, no punctuation, single spaces."""
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text)).casefold().replace("&", " and ")
    text = "".join(character for character in text if not unicodedata.combining(character))
    return " ".join(re.sub(r"[^\w\s]|_", " ", text).split())


def company(value: Value) -> str:
    """`plain`, less one legal form, a leading "the" and the mark that one CRM puts on its sample rows."""
    words = plain(re.sub(r"\(sample\)\s*$", "", str(value), flags=re.IGNORECASE)).split()
    if len(words) > 1 and words[0] == "the":
        words = words[1:]
    text = " ".join(words)
    for tail in ("a s", "s a", "s p a", "s a s"):  # "A/S" and "S.A." after punctuation is gone
        if text.endswith(" " + tail):
            return text[: -len(tail) - 1]
    if len(words) > 1 and words[-1] in _LEGAL_FORMS:
        words = words[:-1]
    return " ".join(words)


def domain(value: Value) -> str | None:
    """The registrable part of a website's host; None for hosts that many companies share."""
    text = str(value).strip().lower()
    try:
        host = urlsplit(text if "//" in text else f"//{text}").hostname or ""
        host = host.encode("idna").decode("ascii")
    except ValueError:  # people type anything here
        return None
    labels = [label for label in host.split(".") if label]
    if len(labels) < 2:
        return None
    keep = 3 if len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVEL else 2
    name = ".".join(labels[-keep:])
    return None if name in _SHARED_DOMAINS else name


def _email(value: Value) -> str | None:
    text = str(value).strip().lower()
    local, at, _host = text.rpartition("@")
    return text if at and local not in _ROLE_ADDRESSES else None


def _phone(value: Value) -> str | None:
    """Digits; the converter has already made E.164 of what it could understand."""
    digits = re.sub(r"\D", "", str(value))
    return digits[-9:] if len(digits) >= 7 else None


def _post_code(value: Value) -> str:
    code = re.sub(r"[\s-]", "", str(value)).upper()
    return code[:5] if code.isdigit() and len(code) == 9 else code


def _nearly(name: str, meet: Callable[[Value, Value], bool]) -> Near:
    return lambda a, b: meet(a.get(name), b.get(name))


def _amounts_meet(a: Value, b: Value) -> bool:
    if not isinstance(a, Money) or not isinstance(b, Money) or a.currency != b.currency:
        return False
    return abs(a.amount - b.amount) <= AMOUNT_TOLERANCE * max(abs(a.amount), abs(b.amount))


def _dates_meet(a: Value, b: Value) -> bool:
    if not isinstance(a, date) or not isinstance(b, date):
        return False
    return abs(a.toordinal() - b.toordinal()) <= DATE_TOLERANCE.days


def _names_overlap(a: Value, b: Value) -> bool:
    """Same website and country: one common word of the names is enough."""
    if a is None or b is None:
        return False
    return bool(set(company(a).split()) & set(company(b).split()))

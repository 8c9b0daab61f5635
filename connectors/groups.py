"""Queues and teams that may own records, by the words that a mapping has for them: name, developer name, or id."""

from collections import Counter
from collections.abc import Iterable, Mapping

from crmbridge.model import fold_group


def groups_of(
    kind: str, found: Iterable[tuple[str, Iterable[str | None]]]
) -> tuple[Mapping[str, tuple[str, ...]], Mapping[str, str]]:
    """`found`: native ids with the names of each. A word that two share means neither of them: their ids do."""
    groups: dict[str, tuple[str, ...]] = {}
    for native, names in found:
        words = [fold_group(f"{kind}:{name}") for name in (*names, native, native[:15]) if name]
        groups[native] = tuple(dict.fromkeys(words))
    times = Counter(word for words in groups.values() for word in words)
    ids = {word: native for native, words in groups.items() for word in words if times[word] == 1}
    # The first word is what the group is called in a shared record, so it must mean this one alone.
    alone = {native: tuple(word for word in words if times[word] == 1) for native, words in groups.items()}
    return {native: words for native, words in alone.items() if words}, ids

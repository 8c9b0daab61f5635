"""The lens laws over a document's vocabularies: what was put must be what is read again.

`PutGet` holds up to what the target can tell apart; each such loss must be declared where it happens. (`GetPut`,
putting back what was read changes nothing, holds by construction: the native value that is there stays while it
belongs to the row.) After Foster et al., "Combinators for bidirectional tree transformations".
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from crmbridge.model import SIDES, Side
from mapping.described import OptionLike
from mapping.document import Document, NativeWord, StatusRow, ValueRow
from mapping.kinds import kinds_named, options_of
from mapping.problem import Finding, Path, quoted
from mapping.status import fits_state
from mapping.vocabulary import fold, resolve

Options = Callable[[Side], Sequence[OptionLike]]


def value_losses(
    document: Document, path: Path, rows: Sequence[ValueRow], options: Options, spoiled: Callable[[Path], bool]
) -> Iterator[Finding]:
    """Rows that a side cannot tell apart without saying so, and values that no reading ever reaches. A row that the
    shape layer found fault with is left out: what it means is not known yet."""
    rows = [row for row in rows if not spoiled((*path, row.name))]
    reached: set[str] = set()  # rows that some value reads as
    complained: set[str] = set()
    for side in SIDES:
        known = options(side)
        named = kinds_named([row for row in rows if isinstance(row, StatusRow)], side)
        first: dict[_Meaning, ValueRow] = {}  # what a native means -> the row it reads as
        for row in rows:
            seen: set[_Meaning] = set()
            yield from _repeated(document, path, row, side)
            for kind, n, word in _spoken(row, side, named):
                here = (*path, row.name, document.names[side])
                if isinstance(row, StatusRow) and kind in row.by_kind.get(side, {}):
                    here = (*here, kind or "")
                for means in _meanings(document, side, row, word, options_of(kind, named, known)):
                    place = [(kind, reason, *means) for reason in _reasons(document, row, side)]
                    taken = [each for each in place if each not in seen]
                    seen.update(taken)
                    for each in taken:
                        earlier = first.setdefault(each, row)
                        reached |= {row.name} if earlier is row else set()
                        if earlier is row or side in row.lossy or _converted(row):
                            continue
                        complained.add(row.name)
                        yield _loss(document, here, row, earlier, side, word, n)
                        break
    for row in rows:
        if row.name not in reached | complained and len(row.natives) == len(SIDES) and not _converted(row):
            yield document.source.finding(
                (*path, row.name),
                "is never read: on both sides its values mean earlier rows; give it a value of its own, or take it out",
                code="row-unreachable",
                key=True,
                warning=True,
            )


def _repeated(document: Document, path: Path, row: ValueRow, side: Side) -> Iterator[Finding]:
    words = row.natives.get(side, ())
    folded = [fold(word) for word in words]
    for n, word in enumerate(words):
        if folded[n] in folded[:n]:
            here = (*path, row.name, document.names[side], n)
            yield document.source.finding(
                here, f"{quoted(word)} stands in this row already; name it once", code="value-repeated", warning=True
            )


# Kind of record, reason, state and process, value: what a side must tell apart.
_Meaning = tuple[str | None, str | None, str, object]


def _spoken(row: ValueRow, side: Side, named: Sequence[str]) -> Iterator[tuple[str | None, int, NativeWord]]:
    """A row's words, with the kind of record they are for and their place in their list."""
    for kind in (None, *named) if isinstance(row, StatusRow) else (None,):
        words = row.words(side, kind) if isinstance(row, StatusRow) else row.natives.get(side, ())
        for n, word in enumerate(words):
            yield kind, n, word


def _reasons(document: Document, row: ValueRow, side: Side) -> Sequence[str | None]:
    """A row's reasons tell it from others of the same status, where their column is read."""
    words = row.reasons.get(side, ()) if isinstance(row, StatusRow) and side in document.beside.reason else ()
    return [fold(word) for word in words] or [None]


def _meanings(
    document: Document, side: Side, row: ValueRow, word: NativeWord, options: Sequence[OptionLike]
) -> Iterator[tuple[str, object]]:
    """What a word stands for: its options where the CRM told them (per process), else its own folded text."""
    # Only Dynamics has flags for every state; there one label may stand for an open stage and for a closed reason.
    state = row.state if isinstance(row, StatusRow) and document.systems[side] == "dynamics" else ""
    fitting = [o for o in options if not isinstance(row, StatusRow) or fits_state(o, row.state)]
    hits: list[OptionLike] = []
    for process in dict.fromkeys(o.process for o in fitting):
        hits += resolve(word, [o for o in fitting if o.process == process])
    if hits:
        for option in hits:
            yield (f"{state}/{option.process}", option.value)
    else:
        yield (state, fold(word))


def _converted(row: ValueRow) -> bool:
    return isinstance(row, StatusRow) and row.state == "converted"


def _loss(
    document: Document, path: Path, row: ValueRow, earlier: ValueRow, side: Side, word: NativeWord, position: int
) -> Finding:
    name = document.names[side]
    if isinstance(row, StatusRow) and isinstance(earlier, StatusRow) and row.state != earlier.state:
        code = "states-share-value"
        message = (
            f"{quoted(word)} is read as {earlier.name!r} ({earlier.state}) already; {name} has no flag to tell them "
            "apart; give one of the two another value"
        )
    elif position == 0:
        code = "loss-undeclared"
        message = (
            f"{name} cannot tell {row.name!r} from {earlier.name!r}: both are written as {quoted(word)}; "
            f"if that loss is meant, add `{lossy_hint(row.lossy, name, document.names)}` to this line"
        )
    else:
        code = "value-twice"
        message = f"{quoted(word)} is read as {earlier.name!r} already, so it never reads as {row.name!r}; name it once"
    return document.source.finding(path, message, code=code)


def lossy_hint(declared: Collection[Side], name: str, names: Mapping[Side, str]) -> str:
    """The text to paste that declares one more loss."""
    all_names = [names[side] for side in SIDES if side in declared or names[side] == name]
    return f"lossy: {all_names[0]}" if len(all_names) == 1 else f"lossy: [{', '.join(all_names)}]"

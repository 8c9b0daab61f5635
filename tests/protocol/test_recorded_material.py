"""All recorded and documented answers at a glance: what each is deciphered to, and why the others are not asked for.

The two tables are printed, and `docs/reference/evidence.md` quotes them as they are printed.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.dynamics.protocol import meaning
from connectors.salesforce import protocol
from connectors.salesforce.protocol import Meaning
from tests.support.material import DATA
from tests.support.recorded import NOT_OURS, RECORDINGS, body_of, exchanges, kind_of

EVIDENCE = Path(__file__).parents[2] / "docs" / "reference" / "evidence.md"
EXAMPLES = DATA / "dv-doc-http"
STATUS = re.compile(r"^HTTP(?:/1\.1)? (\d{3})\b.*$", re.MULTILINE)


@pytest.mark.skipif(not RECORDINGS, reason="the recorded exchanges are not beside the checkout")
def test_recorded_salesforce_exchanges() -> None:
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    for exchange in exchanges():
        by_kind[kind_of(exchange)][deciphered(exchange)] += 1
    assert sum(sum(counts.values()) for counts in by_kind.values()) == 487
    quoted(
        [
            "| kind | exchanges | deciphered to | ours |",
            "|---|--:|---|---|",
            *(
                f"| {kind} | {sum(counts.values())} | {told(counts)} | {NOT_OURS.get(kind, 'yes')} |"
                for kind, counts in sorted(by_kind.items(), key=lambda item: (item[0] in NOT_OURS, item[0]))
            ),
        ]
    )


def deciphered(exchange: dict[str, Any]) -> str:
    """What our protocol makes of the answer; one word for a collection's results, which stand inside a 200."""
    answer, kind = exchange["response"], kind_of(exchange)
    what = protocol.answer_meaning(answer["status"], body_of(exchange))
    if what.kind != "done":
        return f"{what.kind} {what.code}"
    if kind != "collection":
        return "done"
    results = protocol.saved(body_of(exchange), len(exchange["request"]["body"]["records"]))
    refused = {each.code for each in results if isinstance(each, Meaning)}
    return f"done, of which some refused {', '.join(sorted(refused))}" if refused else "done"


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="Microsoft's HTTP examples are not beside the checkout")
def test_microsofts_examples() -> None:
    rows: list[str] = []
    for path in sorted(EXAMPLES.glob("*.http")):
        counts = Counter(answer_of(*answer) for answer in answers(path.read_text(encoding="utf-8")))
        rows.append(f"| {path.name} | {sum(counts.values())} | {told(counts)} |")
    quoted(["| example | answers | deciphered to |", "|---|--:|---|", *rows])


def answers(text: str) -> Iterator[tuple[int, str]]:
    """(status, what follows it) of each answer of an example, those inside a batch too."""
    found = list(STATUS.finditer(text))
    ends = [each.start() for each in found[1:]] + [len(text)]
    for each, end in zip(found, ends, strict=True):
        yield int(each[1]), text[each.end() : end]


def answer_of(status: int, rest: str) -> str:
    if "boundary=changesetresponse" in rest or "\n--batchresponse" in rest[:60]:
        return "a batch, read part by part"
    if status == 304:
        return "not modified, which we never ask for"
    body = re.search(r"^\{.*?^\}|^\{.*\}$", rest, re.MULTILINE | re.DOTALL)
    what = meaning(status, {}, body[0].encode() if body and status not in (201, 204) else b"")
    code = what.code if what.kind == "refused" else ""
    return f"{what.kind} {code}".strip()


def told(counts: Counter[str]) -> str:
    return "; ".join(f"{number} {words}" for words, number in sorted(counts.items()))


def quoted(table: list[str]) -> None:
    text = "\n".join(table)
    print(f"\n{text}\n")
    assert text in EVIDENCE.read_text(encoding="utf-8"), f"docs/reference/evidence.md does not quote:\n{text}"


def test_the_folders_are_complete() -> None:
    """The page names each folder of the material; a new one wants a word."""
    if not DATA.is_dir():
        pytest.skip("the material is not beside the checkout")
    page = EVIDENCE.read_text(encoding="utf-8")
    assert [each.name for each in sorted(DATA.iterdir()) if each.is_dir() and f"`{each.name}`" not in page] == []

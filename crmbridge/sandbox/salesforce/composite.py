"""Several requests in one call, each able to use what earlier ones answered (salesforce-api §3.3)."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from crmbridge.sandbox.salesforce.ask import (
    VERSION_MAX,
    VERSION_MIN,
    Answer,
    Ask,
    Log,
    allow,
    flag,
    only,
    since,
    without_suffix,
)
from crmbridge.sandbox.salesforce.errors import SfError, Undo, not_found, refuse
from crmbridge.sandbox.salesforce.headers import check_headers, inherited
from crmbridge.sandbox.salesforce.parameters import check_parameters
from crmbridge.sandbox.salesforce.references import filled_in, filled_url
from crmbridge.sandbox.salesforce.store import Store
from crmbridge.sandbox.shaping import plain

SUBREQUESTS_MAX: Final = 25
QUERIES_MAX: Final = 5  # queries and collections calls among them
SINCE: Final = 38  # (unverified)
HALTED: Final = "The transaction was rolled back since another operation in the same transaction failed."
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*")  # the sheet says a letter; a real org takes a digit too
_HEAVY: Final = re.compile(r"/(?:query(?:All)?|composite/sobjects)\b")
# Subrequests may not change who they are or how bodies are written.
_OUTER_HEADERS: Final = frozenset({"authorization", "content-type", "accept"})

Result = dict[str, Any]
Serve = Callable[[Ask], Answer]  # rows, queries, describe, collections


class Composite:
    """`serve` answers a subrequest as if it had come alone."""

    def __init__(self, store: Store, serve: Serve) -> None:
        self._store = store
        self._serve = serve

    def answer(self, ask: Ask) -> Answer:
        since(ask, SINCE)
        if ask.method == "GET":
            return _resources(ask)
        allow(ask, "GET", "POST")
        ask.log.note("composite")
        body = ask.envelope("compositeRequest", "allOrNone", "collateSubrequests")
        flag(body, "collateSubrequests", default=True)  # accepted, no effect: one after the other either way (§3.3)
        subs = subrequests(body)
        if not 1 <= len(subs) <= SUBREQUESTS_MAX:
            message = f"You can have up to {SUBREQUESTS_MAX} subrequests in a single call, and at least one."
            raise refuse("LIMIT_EXCEEDED", message)
        if sum(bool(_HEAVY.search(str(sub.get("url", "")))) for sub in subs) > QUERIES_MAX:
            raise refuse("LIMIT_EXCEEDED", f"Up to {QUERIES_MAX} of the subrequests can be queries or collections.")
        answers, _ = self.run(ask, subs, whole=flag(body, "allOrNone"))
        return Answer(body={"compositeResponse": answers})

    def run(self, ask: Ask, subs: Sequence[Mapping[str, Any]], *, whole: bool) -> tuple[list[Result], bool]:
        """The results in order, and whether all is well; with `whole` one failure takes everything back (§3.3)."""
        answers: list[Result] = []
        try:
            with self._store.tables.transaction():
                known: dict[str, Any] = {}
                for sub in subs:
                    answers.append(self._sub(ask, sub, known))
                    if whole and answers[-1]["httpStatusCode"] >= 400:
                        raise Undo
        except Undo:
            failed = len(answers) - 1
            return [answers[at] if at == failed else halted(sub) for at, sub in enumerate(subs)], False
        return answers, all(answer["httpStatusCode"] < 400 for answer in answers)

    def _sub(self, ask: Ask, sub: Mapping[str, Any], known: dict[str, Any]) -> Result:
        name = str(sub["referenceId"])
        log = Log()
        try:
            with self._store.tables.transaction():
                answer = self._run(ask, sub, known, log)
        except SfError as error:
            answer = Answer(status=error.status, body=[problem.single() for problem in error.problems])
        ask.log.operations += log.operations or [(log.table, log.kind)]
        if answer.status < 300 and answer.body is not None:
            known[name] = plain(answer.body)
        return {
            "body": None if answer.empty else answer.body,
            "httpHeaders": dict(answer.headers),
            "httpStatusCode": answer.status,
            "referenceId": name,
        }

    def _run(self, ask: Ask, sub: Mapping[str, Any], known: Mapping[str, Any], log: Log) -> Answer:
        url = filled_url(str(sub.get("url", "")), known)
        if not url.startswith("/services/data/"):  # §3.3; the code (unverified)
            raise refuse("INVALID_INPUT", f"A subrequest's url starts with /services/data/v{ask.version}/, not {url}")
        given = sub.get("httpHeaders") or {}
        if not isinstance(given, dict):  # the code (unverified)
            raise refuse("INVALID_INPUT", "The httpHeaders of a subrequest are an object of names and values.")
        headers = {str(key).lower(): str(value) for key, value in given.items()}
        if wrong := _OUTER_HEADERS & headers.keys():  # §3.3; the code (unverified)
            raise refuse("INVALID_INPUT", f"A subrequest cannot set the header {sorted(wrong)[0]}.")
        check_headers(headers)
        inner = inner_ask(
            ask,
            method=str(sub.get("method", "")),
            url=url.removeprefix("/services/data/"),
            headers={**inherited(ask.headers), **headers},
            body=filled_in(sub.get("body"), known),
            log=log,
        )
        if inner.parts[:1] == ("composite",) and inner.parts[:2] != ("composite", "sobjects"):
            # §3.3; the code (unverified)
            raise refuse("INVALID_INPUT", "A composite request cannot hold another one.")
        return self._serve(inner)


def subrequests(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The list of subrequests, each readable and with a name of its own (§3.3; the codes are (unverified))."""
    subs = body.get("compositeRequest")
    if not isinstance(subs, list) or not all(isinstance(sub, dict) for sub in subs):
        raise refuse("JSON_PARSER_ERROR", "compositeRequest must be a list of subrequests at [line:1, column:1]")
    for sub in subs:
        only(sub, "method", "url", "referenceId", "body", "httpHeaders")
        if not isinstance(sub.get("method"), str) or not isinstance(sub.get("url"), str):
            raise refuse("INVALID_INPUT", "Every subrequest needs a method and a url.")  # (unverified)
    names = [str(sub.get("referenceId", "")) for sub in subs]
    for name in names:
        if not _NAME.fullmatch(name):  # a real org's words; the code (unverified)
            raise refuse(
                "INVALID_INPUT",
                f"Provided referenceId ('{name}') must start with a letter or a number, and it can contain only "
                "letters, numbers and underscores ('_').",
            )
    if len(set(names)) < len(names):  # (unverified)
        raise refuse("INVALID_INPUT", "Every subrequest needs a referenceId of its own.")
    return subs


def inner_ask(ask: Ask, *, method: str, url: str, headers: Mapping[str, str], body: Any, log: Log) -> Ask:
    """A request of its own from a url below /services/data/, with the caller of the one that holds it."""
    path, _, query = url.partition("#")[0].partition("?")
    found = re.fullmatch(r"v(\d{1,3})\.0(?:/(.*?))?/*", path, re.DOTALL)
    if found is None or not VERSION_MIN <= int(found.group(1)) <= VERSION_MAX:
        raise not_found()
    segments = [unquote(part) for part in re.sub(r"//+", "/", found.group(2) or "").split("/")]
    inner = Ask(
        method=method.upper(),
        parts=without_suffix(tuple(segments) if segments != [""] else ()),
        options=dict(parse_qsl(query, keep_blank_values=True)),
        headers=headers,
        user=ask.user,
        version=f"{found.group(1)}.0",
        origin=ask.origin,
        given=body,
        log=log,
    )
    check_parameters(inner)
    return inner


def halted(sub: Mapping[str, Any]) -> Result:
    problem = {"errorCode": "PROCESSING_HALTED", "message": HALTED}
    return {"body": [problem], "httpHeaders": {}, "httpStatusCode": 400, "referenceId": str(sub["referenceId"])}


def _resources(ask: Ask) -> Answer:
    """What lies below (the answer's shape (unverified))."""
    ask.log.note("versions")
    ask.log.category = "metadata"
    root = f"/services/data/v{ask.version}/composite"
    return Answer(body={name: f"{root}/{name}" for name in ("sobjects", "graph", "batch", "tree")})

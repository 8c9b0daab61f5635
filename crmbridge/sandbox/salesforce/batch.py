"""Composite Batch: independent requests, one after the other, each committed and counted (salesforce-api §3.4)."""

from collections.abc import Mapping
from typing import Any, Final

from crmbridge.sandbox.salesforce.ask import Answer, Ask, Log, allow, flag, only, since
from crmbridge.sandbox.salesforce.composite import Result, Serve, inner_ask
from crmbridge.sandbox.salesforce.errors import SfError, not_served, refuse
from crmbridge.sandbox.salesforce.headers import inherited
from crmbridge.sandbox.salesforce.limits import Limits
from crmbridge.sandbox.salesforce.store import Store

SINCE: Final = 34  # (unverified)
REQUESTS_MAX: Final = 25
_SKIPPED: Final = {
    "result": [{"errorCode": "BATCH_PROCESSING_HALTED", "message": "Batch processing halted per request"}],
    "statusCode": 412,
}


class Batch:
    def __init__(self, store: Store, limits: Limits, serve: Serve) -> None:
        self._store = store
        self._limits = limits
        self._serve = serve

    def answer(self, ask: Ask) -> Answer:
        """The call itself is counted as its first request (unverified)."""
        since(ask, SINCE)
        allow(ask, "POST")
        ask.log.note("composite_batch")
        body = ask.envelope("batchRequests", "haltOnError")
        subs = _requests(body)
        halting = flag(body, "haltOnError")
        results: list[Result] = []
        failed = False
        for number, sub in enumerate(subs):
            results.append(dict(_SKIPPED) if failed and halting else self._sub(ask, sub, counted=number > 0))
            failed = failed or results[-1]["statusCode"] >= 400
        return Answer(body={"hasErrors": failed, "results": results})

    def _sub(self, ask: Ask, sub: Mapping[str, Any], *, counted: bool) -> Result:
        log = Log()
        try:
            if counted:
                self._limits.spend()
            with self._store.tables.transaction():
                answer = self._run(ask, sub, log)
        except SfError as error:
            answer = Answer(status=error.status, body=[problem.single() for problem in error.problems])
        ask.log.operations += log.operations or [(log.table, log.kind)]
        return {"statusCode": answer.status, "result": None if answer.empty else answer.body}

    def _run(self, ask: Ask, sub: Mapping[str, Any], log: Log) -> Answer:
        if any(sub.get(name) is not None for name in ("binaryPartName", "binaryPartNameAlias")):
            raise not_served("binary parts of a batch")  # §3.4
        # §3.4 has no leading /services/data; aiosalesforce writes the whole path, and its makers run it on real orgs
        # (unverified).
        url = str(sub["url"]).lstrip("/").removeprefix("services/data/")
        inner = inner_ask(
            ask,
            method=str(sub["method"]),
            url=url,
            headers=inherited(ask.headers),
            body=sub.get("richInput"),
            log=log,
        )
        if inner.parts[:1] == ("composite",):  # §3.4; the code (unverified)
            raise refuse("INVALID_INPUT", "A batch cannot hold a composite resource.")
        return self._serve(inner)


def _requests(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    subs = body.get("batchRequests")
    if not isinstance(subs, list) or not all(isinstance(sub, dict) for sub in subs):
        raise refuse("JSON_PARSER_ERROR", "batchRequests must be a list of requests at [line:1, column:1]")
    if not 1 <= len(subs) <= REQUESTS_MAX:  # §3.4; the code (unverified)
        raise refuse("LIMIT_EXCEEDED", f"A batch holds up to {REQUESTS_MAX} requests, and at least one.")
    for sub in subs:
        only(sub, "method", "url", "richInput", "binaryPartName", "binaryPartNameAlias")
        if not isinstance(sub.get("method"), str) or not isinstance(sub.get("url"), str):
            raise refuse("INVALID_INPUT", "Every request of a batch needs a method and a url.")  # (unverified)
    return subs

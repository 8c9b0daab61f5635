"""Requests out, meanings back: the thin part between `protocol` and the session.

A read raises our errors and may be repeated by the session; a write is sent once and answers a `Reply` that says what
is known about it. A refused token is renewed once per call (dataverse-api §10.3, the empty code).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.dynamics import batch
from connectors.dynamics.auth import Tokens
from connectors.dynamics.batch import ChangeSet, Item, Response
from connectors.dynamics.protocol import Meaning, Request, as_error, meaning
from connectors.http import Answer, NotSent, Session
from crmbridge.errors import LostAnswer, TryLater

_always: Final = {"Accept": "application/json", "OData-MaxVersion": "4.0", "OData-Version": "4.0"}
# A server's general "cannot do such a request" (dataverse-api §10.3), as an answer to an action in a change set.
_not_like_this: Final = ("0x80060888", "0x8006088a", "0x0", "http_400", "http_405", "http_501")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What is known about one request."""

    meaning: Meaning
    headers: Mapping[str, str]
    body: bytes

    @property
    def done(self) -> bool:
        return self.meaning.kind == "done"


# Of a change set: one reply for each of its requests, or the one that says why none was carried out.
Replies = Reply | tuple[Reply, ...]


class Client:
    def __init__(self, session: Session, tokens: Tokens) -> None:
        self.session = session
        self._tokens = tokens
        self._actions_in_change_sets = True

    @property
    def name(self) -> str:
        return self.session.name

    def close(self) -> None:
        self._tokens.close()
        self.session.close()

    # --- reads ----------------------------------------------------------------------------------------------------

    def read(self, request: Request) -> Reply:
        """A read by itself; raises unless it was served. What a caller can use is raised as `Unserved`."""
        return self._served(self._send(request, repeat=True), request)

    def try_read(self, request: Request) -> Reply:
        """A read of which "missing", "expired" and "untracked" are answers, too."""
        reply = self._send(request, repeat=True)
        return reply if reply.meaning.kind in ("missing", "expired", "untracked") else self._served(reply, request)

    def read_all(self, requests: Sequence[Request], *, kind: str = "batch", or_forbidden: bool = False) -> list[Reply]:
        """Several reads in one call; "missing" is an answer (and "forbidden" if so asked), anything else not served
        is raised."""
        answers = ("missing", "forbidden") if or_forbidden else ("missing",)
        replies: list[Reply] = []
        for request, reply in zip(requests, self._batch(requests, kind=kind, repeat=True), strict=True):
            assert isinstance(reply, Reply), "a change set among reads"
            replies.append(reply if reply.meaning.kind in answers else self._served(reply, request))
        return replies

    def _served(self, reply: Reply, request: Request) -> Reply:
        if reply.done:
            return reply
        raise as_error(reply.meaning, f"{self.name}: {request.kind} of {request.table or 'the environment'}")

    # --- writes ---------------------------------------------------------------------------------------------------

    def write(self, request: Request) -> Reply:
        return self._known(lambda: self._send(request, repeat=False))

    def write_all(self, items: Sequence[Item], *, kind: str = "batch") -> list[Replies]:
        """Each item by itself, in order; the failure of one does not stop the others."""
        try:
            return self._batch(items, kind=kind, repeat=False)
        except (NotSent, LostAnswer, TryLater) as error:
            return [_unsettled(error)] * len(items)

    def write_together(
        self, requests: Sequence[Request], *, then: Sequence[Request] = (), kind: str
    ) -> tuple[Reply, list[Reply]]:
        """Writes that belong together, and reads of what came of them, in one call.

        The last write's reply if all were carried out, else the one that says why not; and the reads' replies."""
        (written,), reads = self.write_groups([requests], then=then, kind=kind)
        return written, reads

    def write_groups(
        self, groups: Sequence[Sequence[Request]], *, then: Sequence[Request] = (), kind: str
    ) -> tuple[list[Reply], list[Reply]]:
        """Several such groups, each all or nothing and independent of the others, in one call.

        Whether a server takes actions inside a change set is (unverified): one that refuses gets them one by one."""
        if not self._actions_in_change_sets and any(_holds_action(group) for group in groups):
            return [self._one_by_one(group) for group in groups], self._read_after(then)
        items: list[Item] = [group[0] if len(group) == 1 else ChangeSet(tuple(group)) for group in groups]
        replies = self.write_all([*items, *then], kind=kind)
        written = [each[-1] if isinstance(each, tuple) else each for each in replies[: len(groups)]]
        again = [
            at
            for at, (group, reply) in enumerate(zip(groups, written, strict=True))
            if len(group) > 1 and reply.meaning.kind == "refused" and reply.meaning.code.lower() in _not_like_this
        ]
        if not again:
            return written, [each for each in replies[len(groups) :] if isinstance(each, Reply)]
        for at in again:
            written[at] = self._one_by_one(groups[at])
        self._actions_in_change_sets = self._actions_in_change_sets and not any(written[at].done for at in again)
        return written, self._read_after(then)

    def _one_by_one(self, requests: Sequence[Request]) -> Reply:
        reply = self.write(requests[0])
        for request in requests[1:]:
            if not reply.done:
                break
            reply = self.write(request)
        return reply

    def _read_after(self, then: Sequence[Request]) -> list[Reply]:
        reads = self.write_all(then, kind="fetch") if then else []
        return [each for each in reads if isinstance(each, Reply)]

    def _known(self, send: Callable[[], Reply]) -> Reply:
        try:
            return send()
        except (NotSent, LostAnswer, TryLater) as error:
            return _unsettled(error)

    # --- one call -------------------------------------------------------------------------------------------------

    def _batch(self, items: Sequence[Item], *, kind: str, repeat: bool) -> list[Replies]:
        content_type, body = batch.encode(items)
        headers = {"Content-Type": content_type, "Prefer": "odata.continue-on-error"}
        tables = {each.table for item in items for each in (item.requests if isinstance(item, ChangeSet) else (item,))}
        table = tables.pop() if len(tables) == 1 else ""
        inside = sum(len(item.requests) if isinstance(item, ChangeSet) else 1 for item in items)
        request = Request(method="POST", path=batch.PATH, headers=headers, body=body, table=table, kind=kind)
        whole = self._send(request, repeat=repeat, operations=max(1, inside))
        if not next((v for n, v in whole.headers.items() if n.lower() == "content-type"), "").startswith("multipart/"):
            lost = Meaning(kind="unknown", status=whole.meaning.status, message="the batch's answer cannot be read")
            said = Reply(meaning=lost, headers=whole.headers, body=b"") if whole.done else whole
            return [said] * len(items)
        content = next(v for n, v in whole.headers.items() if n.lower() == "content-type")
        return [_replies(each) for each in batch.decode(items, content, whole.body)]

    def _send(self, request: Request, *, repeat: bool, operations: int = 1) -> Reply:
        answer = self._once(request, repeat, operations)
        if answer.status == 401 and self._tokens.renew():
            answer = self._once(request, repeat, operations)
        return Reply(
            meaning=meaning(answer.status, answer.headers, answer.body), headers=answer.headers, body=answer.body
        )

    def _once(self, request: Request, repeat: bool, operations: int) -> Answer:
        headers = {**_always, **request.headers, "Authorization": f"Bearer {self._tokens.token()}"}
        if request.body:
            headers.setdefault("Content-Type", "application/json; charset=utf-8")
        return self.session.send(
            request.method,
            request.path,
            kind=request.kind,
            table=request.table,
            headers=headers,
            body=request.body or None,
            repeat=repeat,
            operations=operations,  # the day's limit counts what is inside a batch (dataverse-api §10.4)
        )


def _holds_action(group: Sequence[Request]) -> bool:
    return len(group) > 1 and any(each.method == "POST" for each in group)


def _replies(result: batch.Result) -> Replies:
    if result is None:
        return Reply(
            meaning=Meaning(kind="unknown", message="its part of the batch's answer is missing"), headers={}, body=b""
        )
    if isinstance(result, Response):
        return _reply(result)
    return tuple(_reply(each) for each in result)


def _reply(response: Response) -> Reply:
    return Reply(
        meaning=meaning(response.status, response.headers, response.body), headers=response.headers, body=response.body
    )


def _unsettled(error: TryLater | LostAnswer) -> Reply:
    kind = "unknown" if isinstance(error, LostAnswer) else "later"
    after = error.after_seconds if isinstance(error, TryLater) else None
    return Reply(
        meaning=Meaning(kind=kind, code=error.code, message=error.message, after_seconds=after), headers={}, body=b""
    )

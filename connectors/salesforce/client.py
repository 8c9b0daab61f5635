"""Calls out, answers back: the thin part between `protocol` and the session, with one new login per refused call."""

from typing import Final

from connectors.http import Answer, Session
from connectors.salesforce import protocol, soap
from connectors.salesforce.auth import Tokens
from connectors.salesforce.protocol import Call, Meaning

SESSION_REFUSED: Final = "INVALID_SESSION_ID"  # code of the error, where a new login did not help


class Client:
    def __init__(self, session: Session, login: Session, tokens: Tokens) -> None:
        self.session, self._login, self._tokens = session, login, tokens

    @property
    def name(self) -> str:
        return self.session.name

    def close(self) -> None:
        self.session.close()
        self._login.close()

    def run(self, call: Call) -> Answer:
        """One call, whatever its answer; raises NotSent, LostAnswer or AccessError."""
        answer = self._once(call)
        if self._expired(call, answer) and self._tokens.renew():
            answer = self._once(call)  # once: a 401 that stays is not for us to repeat (§1.4)
        if self._expired(call, answer):
            raise protocol.as_error(
                Meaning(kind="session", code=SESSION_REFUSED, message="session refused"), self._where(call)
            )
        if answer.status == 401:
            raise self.error(call, self.meaning(answer))
        return answer

    def read(self, call: Call) -> Answer:
        """A read that must be served; raises our errors."""
        answer = self.run(call)
        what = self.meaning(answer)
        if what.kind != "done":
            raise self.error(call, what)
        return answer

    def error(self, call: Call, what: Meaning) -> Exception:
        return protocol.as_error(what, self._where(call))

    def meaning(self, answer: Answer) -> Meaning:
        return protocol.answer_meaning(answer.status, answer.body, after_seconds=answer.retry_after)

    def _once(self, call: Call) -> Answer:
        token = self._tokens.token()
        headers = {**call.headers}
        if call.soap is None:
            headers["Authorization"] = f"Bearer {token}"
            if call.body is not None:
                headers["Content-Type"] = "application/json; charset=UTF-8"
        return self.session.send(
            call.method,
            call.path,
            kind=call.kind,
            table=call.table,
            headers=headers,
            body=call.soap(token) if call.soap else call.body,
            repeat=call.reads,
        )

    def _expired(self, call: Call, answer: Answer) -> bool:
        if call.soap is not None:
            return soap.session_refused(answer.status, answer.body)
        return answer.status == 401 and self.meaning(answer).kind == "session"

    def _where(self, call: Call) -> str:
        return f"{self.name}: {call.kind} of {call.table or 'the org'}"

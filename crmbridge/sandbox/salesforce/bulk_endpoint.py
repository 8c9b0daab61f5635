"""/services/async/NN.0: who calls Bulk API 1.0, and in which form a refusal is told (salesforce-api §1.4, §9.1)."""

import re
from typing import Final

from crmbridge.sandbox.core import Reply, Request
from crmbridge.sandbox.salesforce.ask import Log
from crmbridge.sandbox.salesforce.auth import Auth
from crmbridge.sandbox.salesforce.bulk_classic import Classic
from crmbridge.sandbox.salesforce.bulk_classic_body import ClassicError
from crmbridge.sandbox.salesforce.bulk_classic_told import refusal
from crmbridge.sandbox.salesforce.bulk_jobs import Jobs
from crmbridge.sandbox.salesforce.errors import SfError
from crmbridge.sandbox.salesforce.headers import OWN
from crmbridge.sandbox.salesforce.limits import Limits
from crmbridge.sandbox.salesforce.wire import packed, unpacked

_PATH: Final = re.compile(r"/services/async/(\d{1,3})\.0/?(.*)")
HEEDED: Final = frozenset({"x-sfdc-session", "sforce-enable-pkchunking", "sforce-line-ending"})
# Accepted, no effect: the header, and why nothing here can depend on it.
NO_EFFECT: Final = {
    "sforce-call-options": "client names appear in change events and namespaces in packages; there are neither",
    "sforce-disable-batch-retry": "a batch is tried once here, unless its rows are locked",
}


class BulkEndpoint:
    def __init__(self, jobs: Jobs, auth: Auth, limits: Limits, versions: range) -> None:
        self._store = jobs.store
        self._classic = Classic(jobs)
        self._auth = auth
        self._limits = limits
        self._versions = versions

    def answer(self, request: Request, path: str, log: Log) -> tuple[str, Reply]:
        """The caller's user id and the reply."""
        user = ""
        try:
            found = _PATH.fullmatch(path)
            if found is None or int(found.group(1)) not in self._versions:
                raise ClassicError("InvalidVersion", f"{path} names no API version that is served")
            user = self._user(request)
            self._limits.spend()
            for name in request.headers:
                if name.startswith(OWN) and name not in HEEDED and name not in NO_EFFECT:
                    raise ClassicError("NOT_SERVED_BY_SANDBOX", f"This sandbox does not serve the header {name}.", 501)
            if request.query:
                raise ClassicError(
                    "NOT_SERVED_BY_SANDBOX", f"This sandbox does not serve URL parameters of {path}.", 501
                )
            plain = unpacked(request)
            parts = [part for part in found.group(2).split("/") if part]
            with self._store.acting_as(user), self._store.tables.transaction():
                reply = self._classic.answer(plain, f"{found.group(1)}.0", parts, user, log)
        except ClassicError as error:
            reply = refusal(error, request)
        except SfError as error:  # §9.2: what any API refuses, such as a used-up day
            first = error.problems[0]
            reply = refusal(ClassicError(first.code, first.message, error.status), request)
        return user, packed(reply, request.headers)

    def _user(self, request: Request) -> str:
        """§1.4: X-SFDC-Session; a session that is over is told with 400 here, not 401."""
        token = request.header("x-sfdc-session")
        try:
            return self._auth.user_of(token.strip())
        except SfError:
            message = "Invalid session id" if token else "Unable to find session id"
            raise ClassicError("InvalidSessionId", message) from None

"""/services/Soap/{u,c}/NN.0: who calls, what for, and the envelope around the answer (salesforce-api §1.3, §6.2)."""

import re
from collections.abc import Callable
from typing import Final

from crmbridge.sandbox.core import Reply, Request
from crmbridge.sandbox.salesforce import soap, soap_headers
from crmbridge.sandbox.salesforce.ask import Answer, Ask, Log
from crmbridge.sandbox.salesforce.auth import Auth
from crmbridge.sandbox.salesforce.errors import SfError, not_served, refuse
from crmbridge.sandbox.salesforce.limits import Limits
from crmbridge.sandbox.salesforce.soap_bridge import Bridge
from crmbridge.sandbox.salesforce.soap_calls import SoapCalls
from crmbridge.sandbox.salesforce.soap_user import login_result
from crmbridge.sandbox.salesforce.store import Store

LOGIN_VERSION_MAX: Final = 64  # §1.2: SOAP login() is not in API v65 and later
_PATH: Final = re.compile(r"/services/Soap/([uc])/(\d{1,3})\.0(?:/\w+)?")  # partner and enterprise
_EXPIRED_MAY: Final = ("setPassword", "getUserInfo", "logout", "getServerTimestamp")


class SoapEndpoint:
    def __init__(
        self,
        store: Store,
        auth: Auth,
        calls: SoapCalls,
        limits: Limits,
        rest: Callable[[Ask], Answer],
        versions: range,
    ) -> None:
        self._store = store
        self._auth = auth
        self._calls = calls
        self._limits = limits
        self._rest = rest
        self._versions = versions

    def answer(self, request: Request, path: str, log: Log) -> tuple[str, Reply]:
        """The caller's user id and the reply; every refusal is a fault."""
        user = ""
        try:
            found = _PATH.fullmatch(path)
            if found is None:  # §6.2
                raise refuse(
                    "FUNCTIONALITY_NOT_ENABLED",
                    f"This sandbox serves the partner API at /services/Soap/u/NN.0 and of the enterprise API, at "
                    f"/services/Soap/c/NN.0, what answers no rows; not {path}",
                )
            # §6.2: any value, but it must be there
            if request.method != "POST" or "soapaction" not in request.headers:
                raise soap.ClientFault("A SOAP call is a POST with the header SOAPAction.")
            if request.query:
                raise not_served(f"URL parameters of {path}")
            version = int(found.group(2))
            if version not in self._versions:  # §1.3; the fault's text is (unverified)
                raise refuse("UNSUPPORTED_API_VERSION", f"API version {version}.0 is not served.")
            call = soap.parse(request.body, enterprise=found.group(1) == "c")
            name = call.operation.name
            log.note(name)
            if name == "login":
                log.category = "login"
                return self._login(request, call, version)
            user = self._user(call)
            self._limits.spend()
            if self._auth.password_expired(user) and name not in _EXPIRED_MAY:  # §1.3; the text (unverified)
                raise refuse("INVALID_OPERATION_WITH_EXPIRED_PASSWORD", "The user's password has expired.")
            bridge = Bridge(call=call, user=user, version=version, log=log, rest=self._rest)
            with self._store.acting_as(user), self._store.tables.transaction():
                content = self._calls.answer(bridge, self._auth.instance(request))
            return user, soap.reply(call, content, (self._limits.used(), self._limits.most()))
        except SfError as error:
            return user, soap.fault(error)
        except soap.ClientFault as error:
            return user, soap.client_fault(error)

    def _user(self, call: soap.Call) -> str:
        """§1.2: a token in JWT format is no session id."""
        try:
            return self._auth.session_of(call.session)
        except SfError:  # §6.4, wording (unverified)
            message = (
                "Invalid Session ID found in SessionHeader: Illegal Session. Session not found, missing session key"
            )
            raise refuse("INVALID_SESSION_ID", message) from None

    def _login(self, request: Request, call: soap.Call, version: int) -> tuple[str, Reply]:
        soap_headers.check(call)
        if version > LOGIN_VERSION_MAX:  # §1.3; the fault's code is (unverified)
            raise refuse("UNSUPPORTED_API_VERSION", f"login() is not available in API version {version}.0; use OAuth.")
        scope = call.header("LoginScopeHeader").value("organizationId")
        password = call.operation.first("password")
        user = self._auth.password_login(
            call.operation.value("username"),
            (password.text or "") if password else "",
            request,
            trusted=scope[:15] == self._auth.org_id[:15],
        )
        row = self._store.rows(self._store.shape.objects["User"])[user]
        place = f"{self._auth.instance(request)}/services/Soap/"
        below = f"/{version}.0/{self._auth.org_id[:15]}"
        urls = {"metadata": f"{place}m{below}", "server": f"{place}{'c' if call.enterprise else 'u'}{below}"}
        content = login_result(
            self._store.shape.org,
            self._auth.org_id,
            row,
            self._auth.open_session(user),
            urls,
            version,
            password_expired=self._auth.password_expired(user),
        )
        return user, soap.reply(call, content)

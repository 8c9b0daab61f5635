"""What each service answers when it fails: the CRM's own error bodies, without the CRM.

salesforce-api §9.1-9.3 and §1.4, dataverse-api §10.1-10.3 and §1.1: three shapes of JSON, the SOAP fault, and the
HTML page of a gateway.
"""

import json
from html import escape

from crmbridge.sandbox.core import Reply, Request
from crmbridge.sandbox.faults import Action, Service

Headers = tuple[tuple[str, str], ...]

SALESFORCE_ERRORS: dict[int, tuple[str, str]] = {  # salesforce-api §9.2
    401: ("INVALID_SESSION_ID", "Session expired or invalid"),
    403: ("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
    404: ("NOT_FOUND", "The requested resource does not exist"),
    405: ("METHOD_NOT_ALLOWED", "HTTP Method not allowed."),
    420: ("SERVER_UNAVAILABLE", "The request could not be routed; please retry."),  # body (unverified)
    412: ("PRECONDITION_FAILED", "The record was changed meanwhile."),  # name (unverified)
    415: ("UNSUPPORTED_MEDIA_TYPE", "Content-Type not supported."),
    # Salesforce documents no 429 (§9.3); gateways before it send one, and clients must cope.
    429: ("REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded."),
    500: (
        "UNKNOWN_EXCEPTION",
        "An unexpected error occurred. Please include this ErrorId if you contact support: 1234567890-12345 (1234567)",
    ),
    503: ("SERVER_UNAVAILABLE", "Server unavailable, please retry later."),
}
DYNAMICS_ERRORS: dict[int, tuple[str, str]] = {  # dataverse-api §10.2, §10.3
    400: ("0x80040203", "Invalid argument."),
    403: ("0x80040220", "Principal user is missing a privilege for this operation."),
    404: ("0x80040217", "The requested record does not exist."),
    412: ("0x80060882", "The version of the existing record doesn't match the RowVersion property provided."),
    429: ("0x80072322", "Number of requests exceeded the limit of 6000 over time window of 300 seconds."),
    500: ("0x80040216", "An unexpected error occurred."),
}
THROTTLES: dict[str, str] = {  # the two other limits, chosen by their code (dataverse-api §10.3)
    "0x80072321": "Combined execution time of incoming requests exceeded limit of 1,200,000  milliseconds "
    "over time window of 300 seconds. Decrease number of concurrent requests or reduce the duration of requests.",
    "0x80072326": "Number of concurrent requests exceeded the limit of 52.",
}
REFUSAL_STATUS: dict[str, int] = {  # codes whose status is not 400 (salesforce-api §9.2, dataverse-api §10.3)
    "INVALID_SESSION_ID": 401,
    "REQUEST_LIMIT_EXCEEDED": 403,
    "INSUFFICIENT_ACCESS": 403,
    "NOT_FOUND": 404,
    "ENTITY_IS_DELETED": 404,
    "SERVER_UNAVAILABLE": 503,
    "UNKNOWN_EXCEPTION": 500,
    "0x80060882": 412,
    "0x80040333": 412,
    "0x80040237": 412,
    "0x80060892": 412,
    "0x80040217": 404,
    "0x80060891": 404,
    "0x80048306": 403,
    "0x80040220": 403,
    "0x80040227": 405,
    "0x80040216": 500,
    "0x80044151": 500,
    "0x80044150": 500,
    "0x80040224": 500,
    "0x80072322": 429,
    "0x80072321": 429,
    "0x80072326": 429,
}
MAINTENANCE_PAGE = b"""<!DOCTYPE html>
<html><head><title>Down for maintenance</title></head>
<body><h1>We are down for maintenance</h1><p>Sorry for the inconvenience. We'll be back shortly.</p></body></html>
"""


def reply_for(action: Action, service: Service, request: Request) -> Reply | None:
    """The answer given instead of the CRM's own; None for actions that are not an answer."""
    extra: Headers = () if action.retry_after is None else (("Retry-After", str(action.retry_after)),)
    if action.name == "html":
        headers = (("Content-Type", "text/html; charset=utf-8"), *extra)
        return Reply(status=action.status or 503, headers=headers, body=MAINTENANCE_PAGE)
    if action.name == "refuse":
        status = action.status or REFUSAL_STATUS.get(action.code, 400)
    elif action.name == "status":
        status = action.status
    else:
        return None
    if service == "identity":
        return _identity(action, status, extra)
    if service == "dynamics":
        return _dynamics(action, status, extra, request)
    if "/services/Soap/" in request.path:
        return _soap(action, status, extra, request)
    if "/services/oauth2/" in request.path:
        return _oauth(action, status, extra)
    return _salesforce(action, status, extra)


def _salesforce(action: Action, status: int, extra: Headers) -> Reply:
    if status in (502, 504) and not action.code:
        return Reply(status=status, headers=extra)  # an empty 5xx of the edge (salesforce-api §9.1)
    code, message = SALESFORCE_ERRORS.get(status, ("UNKNOWN_EXCEPTION", "An unexpected error occurred."))
    error: dict[str, object] = {"message": action.message or message, "errorCode": action.code or code}
    if action.name == "refuse":
        error["fields"] = list(action.fields)
    return _json(status, [error], "application/json;charset=UTF-8", extra)


def _oauth(action: Action, status: int, extra: Headers) -> Reply:
    # An object, not the array of data errors (salesforce-api §1.2).
    code = action.code or (
        "invalid_grant" if status < 429 else "rate_limit_exceeded" if status == 429 else "unavailable"
    )
    body = {"error": code, "error_description": action.message or "authentication failure"}
    return _json(status, body, "application/json;charset=UTF-8", extra)


def _soap(action: Action, status: int, extra: Headers, request: Request) -> Reply:
    code, message = SALESFORCE_ERRORS.get(status, ("UNKNOWN_EXCEPTION", "An unexpected error occurred."))
    code, message = escape(action.code or code), escape(action.message or message)
    if action.name == "refuse" and b"convertLead" in request.body:
        # A refused record is an error inside HTTP 200 (salesforce-api §6.3).
        fields = "".join(f"<fields>{escape(name)}</fields>" for name in action.fields)
        inner = (
            '<result><accountId xsi:nil="true"/><contactId xsi:nil="true"/>'
            f"<errors>{fields}<message>{message}</message><statusCode>{code}</statusCode></errors>"
            '<leadId xsi:nil="true"/><opportunityId xsi:nil="true"/><success>false</success></result>'
        ) * max(1, request.body.count(b"leadConverts>") // 2)
        return _xml(
            200, f"<convertLeadResponse>{inner}</convertLeadResponse>", 'xmlns="urn:partner.soap.sforce.com"', extra
        )
    # Call-level trouble is a fault with HTTP 500, an expired session too (salesforce-api §1.4).
    fault = (
        f"<soapenv:Fault><faultcode>sf:{code}</faultcode><faultstring>{code}: {message}</faultstring>"
        '<detail><sf:UnexpectedErrorFault xsi:type="sf:UnexpectedErrorFault">'
        f"<sf:exceptionCode>{code}</sf:exceptionCode><sf:exceptionMessage>{message}</sf:exceptionMessage>"
        "</sf:UnexpectedErrorFault></detail></soapenv:Fault>"
    )
    soap_status = 503 if status == 503 else 500
    return _xml(soap_status, fault, 'xmlns:sf="urn:fault.partner.soap.sforce.com"', extra)


def _dynamics(action: Action, status: int, extra: Headers, request: Request) -> Reply:
    if status == 401 and not action.code:
        # Empty body; the header names the authority (dataverse-api §1.4).
        challenge = (
            "Bearer authorization_uri=https://login.microsoftonline.com/common/oauth2/authorize, "
            f"resource_id={request.origin}/"
        )
        return Reply(status=401, headers=(("WWW-Authenticate", challenge), *extra))
    if status in (502, 504) and not action.code:
        return Reply(status=status, headers=extra)
    code, message = DYNAMICS_ERRORS.get(status, ("0x0", "The service is unavailable."))  # 0x0: dataverse-api §10.1
    message = THROTTLES.get(action.code, message)
    body = {"error": {"code": action.code or code, "message": action.message or message}}
    headers = (("OData-Version", "4.0"), *extra)
    return _json(status, body, "application/json; odata.metadata=minimal", headers)


def _identity(action: Action, status: int, extra: Headers) -> Reply:
    # The dict shape of dataverse-api §1.1; status per code (unverified).
    if status == 401:
        error, number, text = "invalid_client", 7000215, "Invalid client secret provided."
    elif status == 400:
        error, number, text = "unauthorized_client", 700016, "Application was not found in the directory."
    else:
        error, number, text = "temporarily_unavailable", 90033, "A transient error has occurred. Please try again."
    body = {
        "error": action.code or error,
        "error_description": action.message or f"AADSTS{number}: {text}",
        "error_codes": [number],
    }
    return _json(status, body, "application/json; charset=utf-8", extra)


def _json(status: int, body: object, content_type: str, extra: Headers) -> Reply:
    return Reply(status=status, headers=(("Content-Type", content_type), *extra), body=json.dumps(body).encode())


def _xml(status: int, inner: str, namespace: str, extra: Headers) -> Reply:
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" {namespace} '
        f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>{inner}</soapenv:Body></soapenv:Envelope>'
    )
    return Reply(status=status, headers=(("Content-Type", "text/xml; charset=UTF-8"), *extra), body=text.encode())

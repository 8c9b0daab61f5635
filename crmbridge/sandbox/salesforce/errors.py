"""What Salesforce answers when it says no: codes, texts, HTTP statuses (salesforce-api §9)."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

# salesforce-api §9.2; every other code is 400.
_STATUS: Final = {
    "INVALID_SESSION_ID": 401,
    "INVALID_AUTH_HEADER": 401,
    "REQUEST_LIMIT_EXCEEDED": 403,
    "API_DISABLED_FOR_ORG": 403,
    "FUNCTIONALITY_NOT_ENABLED": 403,
    "NOT_FOUND": 404,
    "ENTITY_IS_DELETED": 404,
    "METHOD_NOT_ALLOWED": 405,
    "PRECONDITION_FAILED": 412,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "NOT_SERVED_BY_SANDBOX": 501,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    code: str
    message: str
    fields: tuple[str, ...] | None = None  # None: the key is absent from the answer
    extra: dict[str, Any] = field(default_factory=dict)  # keys of one code alone, such as duplicateResut

    def single(self) -> dict[str, Any]:
        """As the calls for one record spell it: `errorCode`."""
        answer = {**self.extra, "message": self.message, "errorCode": self.code}
        return answer if self.fields is None else {**answer, "fields": list(self.fields)}

    def listed(self) -> dict[str, Any]:
        """As collections spell it: `statusCode`, and `fields` always there (salesforce-api §3.2)."""
        return {**self.extra, "statusCode": self.code, "message": self.message, "fields": list(self.fields or ())}


# What becomes of the good records beside a bad one, where all or none are saved (§3.2).
ROLLED_BACK: Final = Problem(
    code="ALL_OR_NONE_OPERATION_ROLLED_BACK",
    message="Record rolled back because not all records were valid and the request was using AllOrNone header",
)


class Undo(Exception):
    """Everything under way is to be taken back; no answer by itself."""


class SfError(Exception):
    """A refusal of one record or one request; it may name several problems at once."""

    def __init__(self, problems: Iterable[Problem], *, status: int | None = None) -> None:
        self.problems = tuple(problems)
        self.status = status or _STATUS.get(self.problems[0].code, 400)
        super().__init__("; ".join(f"{problem.code}: {problem.message}" for problem in self.problems))


def refuse(code: str, message: str, fields: Iterable[str] | None = None, *, status: int | None = None) -> SfError:
    """One problem, ready to raise."""
    names = None if fields is None else tuple(fields)
    return SfError([Problem(code=code, message=message, fields=names)], status=status)


def not_found() -> SfError:
    return refuse("NOT_FOUND", "The requested resource does not exist")


def no_external_id(name: str) -> SfError:
    """§3.1: also what stands in the place of an id and cannot be one."""
    return refuse("NOT_FOUND", f"Provided external ID field does not exist or is not accessible: {name}")


def no_access() -> SfError:
    """salesforce-api §9.2; for a missing right to create the code is (unverified)."""
    return refuse("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id", [])


def not_served(what: str) -> SfError:
    """The honest answer of a sandbox that is smaller than the real thing."""
    return refuse("NOT_SERVED_BY_SANDBOX", f"This sandbox does not serve {what}; a real org may.")

"""Kinds of values in the settings, each with its own complaint. None repeats the value: it might be a secret."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

from crmbridge import schedule
from crmbridge.errors import ConfigError
from crmbridge.settings.secret import REFERENCE, Address, Secret, expand, has_literal_password, surroundings

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


class FromEnvironment(str):
    """A value that was given by the environment: a secret may stand in it as it is."""


def _text(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return expand(value, surroundings(info.context))
    except ConfigError as error:
        raise ValueError(str(error)) from error


def _secret(value: Any, info: ValidationInfo) -> Secret:
    around = surroundings(info.context)
    if isinstance(value, str) and (whole := REFERENCE.fullmatch(value)):
        return Secret(around, kind=whole[1], name=whole[2])
    if isinstance(value, FromEnvironment) and value:
        return Secret(around, given=str(value))
    raise ValueError("a secret never stands here itself; write ${env:NAME}, ${file:/path} or ${keyring:service/user}")


def _address(value: Any, info: ValidationInfo) -> Address:
    if not isinstance(value, str) or not value:
        raise ValueError("must be a URL")
    try:
        literal = has_literal_password(value) and not isinstance(value, FromEnvironment)
    except ValueError:
        raise ValueError("is not a URL") from None
    if literal:
        raise ValueError("a password never stands here itself; write ${env:NAME} in its place")
    return Address(surroundings(info.context), value)


def _web(value: str) -> str:
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.scheme not in ("https", "http") or not parts.hostname or port == 0:
        raise ValueError("must be a URL such as https://example.com")
    if parts.username or parts.password:
        raise ValueError("must not hold a user or password")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ValueError("must begin with https:// (http is for this machine only)")
    return value.rstrip("/")


def _no_password(value: Any) -> Any:
    if isinstance(value, str) and not isinstance(value, FromEnvironment) and _holds_password(value):
        raise ValueError("a password never stands here itself; write ${env:NAME} in its place")
    return value


def _holds_password(url: str) -> bool:
    try:
        return has_literal_password(url)
    except ValueError:
        return False  # no URL at all: somebody else says so


def _proxy(value: str) -> str:
    try:
        parts = urlsplit(value)
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be a URL such as http://proxy:3128")
    return value


def _file(value: str, info: ValidationInfo) -> str:
    path = surroundings(info.context).folder / Path(value).expanduser()
    if not path.is_file():
        raise ValueError("there is no such file")
    return str(path)


def _instant(value: Any) -> Any:
    """A day begins at 00:00 UTC."""
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value)
        except ValueError:
            return value
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime.combine(value, time(), UTC)
    return value


def _utc(value: datetime | None) -> datetime | None:
    return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def _words(value: Any) -> Any:
    """The environment has no lists: `a, b`."""
    if isinstance(value, FromEnvironment):
        return [word.strip() for word in value.split(",") if word.strip()]
    return value


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True)


Text = Annotated[str, Field(min_length=1), BeforeValidator(_text)]
WebUrl = Annotated[Text, AfterValidator(_web)]
ProxyUrl = Annotated[Text, BeforeValidator(_no_password), AfterValidator(_proxy)]
ExistingFile = Annotated[Text, AfterValidator(_file)]
SecretValue = Annotated[Secret, BeforeValidator(_secret)]
UrlWithSecret = Annotated[Address, BeforeValidator(_address)]
Instant = Annotated[datetime | None, BeforeValidator(_instant), AfterValidator(_utc)]
Words = Annotated[tuple[Text, ...], BeforeValidator(_words)]


def _span(value: Any) -> Any:
    if isinstance(value, int | float):
        raise ValueError(f"needs its unit; write {value} seconds, or {value} minutes")  # a number is no secret
    return schedule.read_span(value) if isinstance(value, str) else value


def _idle(value: Any) -> Any:
    return _span(value.strip().removeprefix("up to ") if isinstance(value, str) else value)


def _read(how: Callable[[str], Any]) -> BeforeValidator:
    return BeforeValidator(lambda value: how(value) if isinstance(value, str) else value)


Span = Annotated[timedelta, BeforeValidator(_span)]
Idle = Annotated[timedelta, BeforeValidator(_idle)]
CronTime = Annotated[schedule.Cron, _read(schedule.read_cron)]
BusinessHours = Annotated[schedule.Hours, _read(schedule.read_hours)]

"""`alerts:`, who is told what: rules, and channels by name."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from crmbridge import alerts
from crmbridge.schedule import read_span
from crmbridge.settings.kinds import LOOPBACK, ExistingFile, SecretValue, Section, Span, Text, WebUrl, Words

_ADDRESS: Final = re.compile(r"[^@\s<>,;:\"]+@[^@\s<>,;:\"]+")
_SHARE: Final = re.compile(r"(\d+(?:\.\d+)?) ?%")


def _server(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536 or "/" in value:
        raise ValueError("must be host and port, such as smtp.example.com:587")
    return value


def _mail(value: str) -> str:
    if not _ADDRESS.fullmatch(value):
        raise ValueError("must be an e-mail address")
    return value


class AlertChannel(Section):
    """One of three: a webhook, an e-mail, a command."""

    webhook: WebUrl | None = None
    secret: SecretValue | None = None  # signs what is sent to the webhook
    email: Words | None = None  # to whom
    sender: Annotated[Text, AfterValidator(_mail)] | None = None
    server: Annotated[Text, AfterValidator(_server)] | None = None
    user: Text | None = None
    password: SecretValue | None = None
    encryption: Literal["starttls", "none"] = "starttls"
    command: Annotated[tuple[Text, ...], Field(min_length=1)] | None = None  # words, no shell
    ca_file: ExistingFile | None = None

    @field_validator("email")
    @classmethod
    def _addresses(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for one in value or ():
            _mail(one)
        return value

    @model_validator(mode="after")
    def _one(self) -> Self:
        chosen = [name for name in ("webhook", "email", "command") if getattr(self, name)]
        if len(chosen) != 1:
            raise ValueError("must have just one of webhook, email and command")
        if self.email and (self.sender is None or self.server is None):
            raise ValueError("an e-mail needs sender and server as well")
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password go together")
        if self.encryption == "none" and (urlsplit(f"//{self.server or ''}").hostname or "") not in LOOPBACK:
            raise ValueError("encryption: none is for a server on this machine only")
        return self


class AlertRule(Section):
    when: alerts.Kind
    over: Text | None = None  # a time, or a part in per cent
    to: Words = ()  # channels; none: all

    @field_validator("over")
    @classmethod
    def _fits(cls, value: str | None, info: ValidationInfo) -> str | None:
        kind: Any = info.data.get("when")
        if value is None or kind is None:
            return value
        if kind in alerts.SHARES:
            found = _SHARE.fullmatch(value)
            if found is None or not 0 < float(found[1]) <= 100:
                raise ValueError("must be a part such as 10 %")
        elif alerts.SPANS[kind]:
            read_span(value)
        else:
            raise ValueError(f"has no meaning with {kind}; take it out")
        return value

    def rule(self) -> alerts.Rule:
        kind: alerts.Kind = self.when
        share, span = alerts.SHARES.get(kind, 0.0), alerts.SPANS.get(kind, timedelta())
        if self.over is not None:
            found = _SHARE.fullmatch(self.over)
            share, span = (float(found[1]) / 100, span) if found else (share, read_span(self.over))
        return alerts.Rule(kind=kind, span=span, share=share, to=self.to)


class Alerts(Section):
    repeat: Span | None = None  # None: 4 hours
    channels: dict[Text, AlertChannel] = Field(default_factory=dict)
    rules: tuple[AlertRule, ...] | None = None  # None: all kinds, each with its usual bound

    @model_validator(mode="after")
    def _known(self) -> Self:
        for rule in self.rules or ():
            for name in rule.to:
                if name not in self.channels:
                    raise ValueError(
                        f"rules: there is no channel {name}; there are {', '.join(self.channels) or 'none'}"
                    )
        return self

    @property
    def in_force(self) -> tuple[alerts.Rule, ...]:
        return alerts.DEFAULT if self.rules is None else tuple(one.rule() for one in self.rules)

    @property
    def repeats_after(self) -> timedelta:
        return self.repeat or alerts.REPEAT

    def heard_by(self, to: tuple[str, ...]) -> Mapping[str, AlertChannel]:
        return {name: channel for name, channel in self.channels.items() if not to or name in to}

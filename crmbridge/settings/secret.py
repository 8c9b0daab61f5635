"""References to what never stands in a settings file: `${env:NAME}`, `${file:/path}`, `${keyring:service/user}`.

They are resolved when they are used, not when the file is read: so `check` can tell about all of them at once. A
reference itself is no secret and may be shown; what it stands for never is.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from pydantic import SecretStr

from crmbridge.errors import ConfigError

REFERENCE: Final = re.compile(r"\$\{(env|file|keyring):([^{}]+)\}")
_SIZE_MAX_BYTES: Final = 64 * 1024  # a key file is a few kB


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where references lead: the environment (over `.env`), and the folder that relative paths start from."""

    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    folder: Path = Path()
    stand_in: str | None = None  # for what leads nowhere here, where only the files are looked at

    def resolve(self, kind: str, name: str) -> str:
        if self.stand_in is not None:
            return (self.environment.get(name) if kind == "env" else None) or self.stand_in
        shown = f"${{{kind}:{name}}}"
        if kind == "env":
            value = self.environment.get(name)
            if not value:
                raise ConfigError(
                    f"{shown}: the environment variable {name} is not set.", fix="Set it, or write it into .env."
                )
            return value
        return self._file(shown, name) if kind == "file" else _keyring(shown, name)

    def _file(self, shown: str, name: str) -> str:
        path = self.folder / Path(name).expanduser()
        try:
            with path.open("rb") as file:
                content = file.read(_SIZE_MAX_BYTES + 1)
            text = content.decode().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            raise ConfigError(
                f"{shown}: the file cannot be read: {why}.", fix="Check the path and the rights."
            ) from error
        if not text or len(content) > _SIZE_MAX_BYTES:
            raise ConfigError(
                f"{shown}: the file is {'empty' if not text else 'too large for a secret'}.", fix="Check the path."
            )
        return text


def _keyring(shown: str, name: str) -> str:
    service, _, user = name.partition("/")
    try:
        import keyring  # an extra: servers rarely have one
        import keyring.errors
    except ImportError as error:
        raise ConfigError(f"{shown}: keyring is not installed.", fix="pip install 'crmbridge[keyring]'") from error
    try:
        value = keyring.get_password(service, user)
    except keyring.errors.KeyringError as error:
        raise ConfigError(
            f"{shown}: this machine's keyring does not serve ({type(error).__name__}).",
            fix="Use ${env:NAME} or ${file:/path} here.",
        ) from error
    if not value:
        raise ConfigError(f"{shown}: the keyring has no such entry.", fix=f"keyring set {service} {user}")
    return value


class Secret:
    """A value that is a reference, or came from the environment as it is. Its repr shows no more than the reference."""

    __slots__ = ("_around", "_given", "_kind", "_name")

    def __init__(self, around: Surroundings, *, kind: str = "", name: str = "", given: str | None = None) -> None:
        self._around, self._kind, self._name, self._given = around, kind, name, given

    def get_secret_value(self) -> str:
        """Raises ConfigError, in words, where the reference leads nowhere."""
        return self._around.resolve(self._kind, self._name) if self._given is None else self._given

    def resolve(self) -> SecretStr:
        return SecretStr(self.get_secret_value())

    def __repr__(self) -> str:
        return f"Secret(${{{self._kind}:{self._name}}})" if self._given is None else "Secret(**********)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return (self._kind, self._name, self._given) == (other._kind, other._name, other._given)

    def __hash__(self) -> int:
        return hash((self._kind, self._name, self._given))


class Address(Secret):
    """A URL that may hold references, for its password above all: `postgresql://crm:${env:DB_PASSWORD}@host/crm`."""

    __slots__ = ("_text",)

    def __init__(self, around: Surroundings, text: str) -> None:
        super().__init__(around, kind="url", name=text)
        self._text = text

    def get_secret_value(self) -> str:
        if whole := REFERENCE.fullmatch(self._text):
            return self._around.resolve(whole[1], whole[2])
        return REFERENCE.sub(lambda hit: quote(self._around.resolve(hit[1], hit[2]), safe=""), self._text)

    def __repr__(self) -> str:
        return f"Address({self._text})"


def has_literal_password(url: str) -> bool:
    bare = REFERENCE.sub("reference", url)
    parts = urlsplit(bare)  # ValueError: no URL at all
    if parts.password not in (None, "", "reference"):
        return True
    return any(
        name.casefold() in ("password", "sslpassword") and value != "reference"
        for name, _, value in (pair.partition("=") for pair in parts.query.split("&"))
    )


def expand(text: str, around: Surroundings) -> str:
    """A plain value that may hold references."""
    return REFERENCE.sub(lambda hit: around.resolve(hit[1], hit[2]), text)


def surroundings(context: Any) -> Surroundings:
    return context if isinstance(context, Surroundings) else Surroundings()

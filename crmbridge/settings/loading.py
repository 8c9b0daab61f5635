"""Reads `crmbridge.yaml`, lays the environment and `.env` over it, and tells all problems at once.

Each is `file:line:column: path: message; did you mean 'x'?`, and none repeats a value.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from crmbridge.errors import ConfigError
from crmbridge.settings.alerts import AlertChannel, AlertRule
from crmbridge.settings.connections import DYNAMICS_FLOWS, SALESFORCE_FLOWS, SYSTEMS, DynamicsConnection, flow_of
from crmbridge.settings.document import FILE_NAME, Lifecycle, Settings
from crmbridge.settings.kinds import FromEnvironment
from crmbridge.settings.options import Options, SegmentSection, read_options, read_segments, sides_of
from crmbridge.settings.profile import must_exist, profile_of, read_with_profile
from crmbridge.settings.secret import Surroundings, expand
from mapping.problem import Path as Way
from mapping.problem import closest, path_text
from mapping.source import Source

PREFIX: Final = "CRMBRIDGE_"
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """What broken settings still say, which is enough to look at the mappings."""

    mappings_folder: Path
    connections: Mapping[str, str]  # name -> system, left first
    profile: str | None


class SettingsError(ConfigError):
    """Settings that cannot be used, with all that is wrong with them."""

    sketch: Sketch | None = None


def load(
    path: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    *,
    profile: str | None = None,
    secrets: bool = True,
) -> Settings:
    """From `path`, else CRMBRIDGE_CONFIG, else the working directory; with the file of a profile laid over it. Raises
    SettingsError for what is wrong in them, ConfigError where there are none.

    Without `secrets` a reference may lead nowhere: something stands in for it, nothing can be connected to, and
    `unresolved` tells those that do. With them, one that is needed at once is told with all the others."""
    env = os.environ if env is None else env
    file = Path(path or env.get("CRMBRIDGE_CONFIG") or FILE_NAME)
    if not file.is_file():
        raise ConfigError(
            f"There is no {file}.",
            fix="`crmbridge init` makes a working folder; or name the file by --config or CRMBRIDGE_CONFIG.",
            code="no_settings",
        )
    from_file = _read_dotenv(file.parent / ".env")
    profile = profile_of(profile, env, from_file)
    reading = _Reading(source=read_with_profile(file, profile), file=file)
    data = reading.source.data if isinstance(reading.source.data, dict) else {}
    if reading.source.data is not None and not isinstance(reading.source.data, dict):
        reading.say((), "must be keys and values, such as `connections:`", code="setting-not-section")
    reading.problems = [str(finding) for finding in reading.source.findings] + reading.problems
    if not reading.problems:
        reading.override(data, from_file, f"{file.parent / '.env'}")
        reading.override(data, env, "environment")
        around = Surroundings(environment={**from_file, **env}, folder=file.parent.absolute())
        settings = reading.check(data, around, secrets=secrets)
        if settings is not None and not reading.problems:
            settings._path, settings._profile = file.absolute(), profile  # pyright: ignore[reportPrivateUsage]
            if profile is not None:
                must_exist(profile, file, settings.mappings_folder)
            return settings
    count = len(reading.problems)
    error = SettingsError(
        f"{file} has {'a problem' if count == 1 else f'{count} problems'}.",
        problems=tuple(reading.problems),
        fix="Correct what is named; nothing was started.",
    )
    error.sketch = _sketch(file, profile, data)
    raise error


def _sketch(file: Path, profile: str | None, data: Mapping[str, Any]) -> Sketch | None:
    """None where it is not even known which mappings they are, and between what."""
    found, folder = data.get("connections"), data.get("mappings") or "mappings"
    if not isinstance(found, dict) or len(found) != 2 or not isinstance(folder, str) or "${" in folder:
        return None
    systems = {str(name): str(one.get("system")) for name, one in found.items() if isinstance(one, dict)}
    named = all(map(_NAME.fullmatch, systems))
    if len(systems) != len(found) or not named or not set(systems.values()) <= SYSTEMS.keys():
        return None
    path = file.parent.absolute() / Path(folder).expanduser()
    return Sketch(mappings_folder=path, connections=systems, profile=profile)


def _read_dotenv(file: Path) -> dict[str, str]:
    if not file.is_file():
        return {}
    from dotenv import dotenv_values

    try:
        return {name: value for name, value in dotenv_values(file, interpolate=False).items() if value is not None}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read.", fix="Check its rights; it must be UTF-8 text.") from error


@dataclass(kw_only=True)
class _Reading:
    """One attempt to read: the data, where each value comes from, and what is wrong with it."""

    source: Source
    file: Path
    origins: dict[Way, str] = field(default_factory=dict)  # values that did not come from the file
    problems: list[str] = field(default_factory=list)

    def say(self, way: Way, message: str, *, code: str, suggestion: str | None = None, key: bool = False) -> None:
        """`code` is one of `mapping.codes`."""
        self.problems.append(self.problem(way, message, code=code, suggestion=suggestion, key=key))

    def problem(self, way: Way, message: str, *, code: str, suggestion: str | None = None, key: bool = False) -> str:
        origin = next((self.origins[way[:n]] for n in range(len(way), 0, -1) if way[:n] in self.origins), None)
        path = path_text(way)
        where = origin or str(self.source.place(way, key=key))
        meant = f"; did you mean {suggestion!r}?" if suggestion else ""
        said = f"{path}: {message}{meant}" if path else f"{message}{meant}"
        return f"{where}: {said} [{code}]"

    def place(self, way: Way) -> str:
        return str(self.source.place(way))

    # --- overrides ---

    def override(self, data: dict[str, Any], given: Mapping[str, str], origin: str) -> None:
        for variable, value in sorted(given.items()):
            if not variable.upper().startswith(PREFIX):
                continue
            way: Way = tuple(variable[len(PREFIX) :].lower().split("__"))
            if way[0] not in Settings.model_fields:
                if len(way) > 1:  # CRMBRIDGE_CONFIG and the like are not settings
                    self.origins[way] = f"{origin}: {variable}"
                    self.say(
                        way,
                        "unknown setting",
                        suggestion=closest(way[0], Settings.model_fields),
                        code="setting-unknown",
                    )
                continue
            self.origins[way] = f"{origin}: {variable}"
            self._put(data, way, value)

    def _put(self, data: dict[str, Any], way: Way, value: str) -> None:
        for part in way[:-1]:
            inner = data.setdefault(str(part), {})
            if inner is None:
                inner = data[str(part)] = {}
            if not isinstance(inner, dict):
                self.say(way, f"{part} is a value, not a section", code="setting-not-section")
                return
            data = inner
        data[str(way[-1])] = FromEnvironment(value)

    # --- checking ---

    def check(self, data: dict[str, Any], around: Surroundings, *, secrets: bool) -> Settings | None:
        data = {name: value for name, value in data.items() if value is not None}  # `only:` with nothing under it
        options, segments = self._choices(data)
        settings, unset, failed = None, dict[Way, str](), set[Way]()
        try:
            context = around if secrets else replace(around, stand_in="unset")
            settings = Settings.model_validate(data, context=context)
        except ValidationError as error:
            unset = dict(_unset(data, (), around))
            for one in error.errors(include_input=False, include_url=False):
                failed.add(_way(one["loc"]))
                if _way(one["loc"]) not in unset:
                    self._explain(data, one["loc"], one["type"], one.get("ctx", {}))
        self._connections(data)
        if self.problems and secrets:  # a secret alone is missed when it is used; beside others it is told with them
            unset = dict(_unset(data, (), around))
        for way, why in unset.items():
            if secrets or way in failed:
                self.say(way, why, code="reference-unset")
        if settings is not None:
            settings._options, settings._segments = options, segments  # pyright: ignore[reportPrivateUsage]
            settings._unresolved = lambda: tuple(  # pyright: ignore[reportPrivateUsage]
                self.problem(way, why, code="reference-unset") for way, why in _unset(data, (), around)
            )
        return settings

    def _connections(self, data: Mapping[str, Any]) -> None:
        found = data.get("connections")
        if not isinstance(found, dict):
            return
        if len(found) != 2:
            self.say(
                ("connections",),
                f"there must be exactly two, the left and the right one; found {len(found)}",
                code="connections-two",
            )
        for name, connection in found.items():
            if not _NAME.fullmatch(name) or name in ("both", "ask"):
                self.say(
                    ("connections", name),
                    "a name is lower-case letters, digits and single _",
                    key=True,
                    code="connection-name",
                )
            auth = connection.get("auth") if isinstance(connection, dict) else None
            if not isinstance(auth, dict):
                continue
            way: Way = ("connections", name, "auth")
            if auth.get("flow") == "password" and ("client_id" in auth) != ("client_secret" in auth):
                self.say(
                    way,
                    "client_id and client_secret go together; take both out for the SOAP login, or give both",
                    code="login-incomplete",
                )
            if auth.get("flow") == "certificate" and ("certificate" in auth) == ("thumbprint" in auth):
                self.say(way, "one of certificate and thumbprint is needed; give just one", code="login-incomplete")

    def _choices(self, data: dict[str, Any]) -> tuple[Options, tuple[SegmentSection, ...]]:
        """What is chosen for the life cycle; it is taken out of the data, but for `mirror_since`."""
        connections = data.get("connections")
        sides = sides_of(connections if isinstance(connections, dict) else ())
        segments = read_segments(data.pop("segments", None), sides, self.say, self.place)
        given = data.get("lifecycle")
        if not isinstance(given, dict):
            return Options(), segments
        data["lifecycle"] = {name: value for name, value in given.items() if name in Lifecycle.model_fields}
        rest = {name: value for name, value in given.items() if name not in Lifecycle.model_fields}
        return read_options(rest, ("lifecycle",), sides, self.say), segments

    def _explain(self, data: Any, loc: tuple[int | str, ...], kind: str, context: Mapping[str, Any]) -> None:
        """pydantic's error, in the user's words and at the user's place."""
        way = _way(loc)
        if kind in ("union_tag_not_found", "union_tag_invalid"):
            self._explain_choice(data, way)
        elif kind == "extra_forbidden":
            self.say(
                way,
                "unknown key",
                suggestion=closest(way[-1], _known(data, way[:-1])),
                key=True,
                code="setting-unknown",
            )
        elif kind == "missing":
            self.say(way, "is missing; add it", code="setting-missing")
        else:
            self.say(way, _message(kind, context), code="setting-misfit")

    def _explain_choice(self, data: Any, way: Way) -> None:
        value = _at(data, way)
        key = "flow" if way[-1] == "auth" else "system"
        if key == "system":
            choices = list(SYSTEMS)
        else:
            system = (_at(data, way[:-1]) or {}).get("system")
            choices = [flow_of(one) for one in (DYNAMICS_FLOWS if system == "dynamics" else SALESFORCE_FLOWS)]
        listed = ", ".join(choices)
        if not isinstance(value, dict):
            self.say(way, f"must be a section with {key}: one of {listed}", code="setting-choice")
        elif key not in value:
            self.say((*way, key), f"is missing; write one of {listed}", code="setting-choice")
        else:
            self.say(
                (*way, key), f"must be one of {listed}", suggestion=closest(value[key], choices), code="setting-choice"
            )


def _way(loc: tuple[int | str, ...]) -> Way:
    """Without the tags that pydantic puts between the keys."""
    return tuple(part for part in loc if not (isinstance(part, str) and part.startswith("<")))


def _unset(data: Any, way: Way, around: Surroundings) -> Iterator[tuple[Way, str]]:
    """References that lead nowhere at the moment, each with the reason."""
    if isinstance(data, Mapping):
        for name, inner in data.items():
            yield from _unset(inner, (*way, str(name)), around)
    elif isinstance(data, list):
        for number, inner in enumerate(data):
            yield from _unset(inner, (*way, number), around)
    elif isinstance(data, str):
        try:
            expand(data, around)
        except ConfigError as error:
            yield way, str(error)


def _at(data: Any, way: Way) -> Any:
    for part in way:
        data = data.get(part) if isinstance(data, dict) else None
    return data


def _known(data: Any, way: Way) -> list[str]:
    """The keys that may stand there."""
    model: Any = Settings
    if way and way[0] == "connections":
        connection: Any = _at(data, way[:2]) or {}
        model = SYSTEMS.get(connection.get("system"))
        if way[2:] == ("auth",) and model:
            flows = DYNAMICS_FLOWS if model is DynamicsConnection else SALESFORCE_FLOWS
            model = next((one for one in flows if flow_of(one) == connection["auth"].get("flow")), None)
    elif way[:2] in (("alerts", "channels"), ("alerts", "rules")) and len(way) > 2:
        model = AlertChannel if way[1] == "channels" else AlertRule
    elif way:
        model = Settings.model_fields[str(way[0])].annotation
    return list(model.model_fields) if model else []


_MESSAGES: Final[Mapping[str, str]] = {
    "string_type": "must be text; put it in quotes",
    "string_too_short": "is empty",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a number",
    "dict_type": "must be a section with keys of its own",
    "model_type": "must be a section with keys of its own",
    "model_attributes_type": "must be a section with keys of its own",
    "tuple_type": "must be a list",
}


def _message(kind: str, context: Mapping[str, Any]) -> str:
    if kind == "value_error":
        return str(context["error"])
    for name, words in (("ge", "at least"), ("gt", "more than"), ("le", "at most")):
        if name in context:
            return f"must be {words} {context[name]:g}"
    if kind.startswith(("datetime", "date")):
        return "must be a day or an instant, such as 2026-11-30 or 2026-11-30T08:00:00Z"
    return _MESSAGES.get(kind, f"does not fit ({kind})")

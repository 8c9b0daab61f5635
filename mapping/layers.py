"""Files laid over files: `lead.test.yaml` over `lead.yaml` where the profile is `test`.

A map is merged, anything else replaces what was there, null takes it away. Each part keeps the place of the file that
it stands in, so that a problem is told where it can be corrected.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any, Final

from crmbridge.errors import ConfigError
from mapping.problem import Path, Place, closest
from mapping.source import Source, read_file, read_text

# Files beside a mapping that are about something else; no profile can be called so.
NO_PROFILES: Final = frozenset({"examples"})


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file that is not read yet. `lead.test.yaml` has the stem `lead.test`."""

    name: str
    read: Callable[[], Source]

    @property
    def stem(self) -> str:
        name = FilePath(self.name).name
        return name.rpartition(".")[0] or name


def files_at(where: FilePath | str | Sequence[FilePath | str] | Mapping[str, str]) -> list[File]:
    """A folder's YAML files, some files, or texts by file name. What a system or an office program lays beside a file
    (`._lead.yaml`, `~$lead.yaml`) is none."""
    if isinstance(where, Mapping):
        return [File(name=name, read=lambda t=text, n=name: read_text(t, file=n)) for name, text in where.items()]
    if isinstance(where, (str, FilePath)):
        path = FilePath(where)
        paths = sorted(one for one in path.iterdir() if _is_ours(one)) if path.is_dir() else [path]
    else:
        paths = [FilePath(one) for one in where]
    return [File(name=str(path), read=lambda p=path: read_file(p)) for path in paths]


def _is_ours(file: FilePath) -> bool:
    return file.suffix.casefold() in (".yaml", ".yml") and not file.name.startswith((".", "~$"))


def profiles_of(files: Iterable[File]) -> frozenset[str]:
    """Profiles that have a file here."""
    return frozenset(_layers(list(files)).values()) - NO_PROFILES


def read_layers(files: Sequence[File], profile: str | None) -> list[Source]:
    """Each file with its overlay of this profile; overlays of other profiles are not read."""
    layers = _layers(files)
    overlays = {file.stem.rpartition(".")[0]: file for file in files if profile and layers.get(file.stem) == profile}
    read: list[Source] = []
    for file in files:
        if file.stem in layers:
            continue
        source = file.read()
        over = overlays.get(file.stem)
        read.append(lay_over(source, over.read()) if over is not None else source)
    return read


def check_profile(profile: str, known: Iterable[str], where: str) -> None:
    """Raises ConfigError for a profile that no file is for: a typing error would run the wrong configuration."""
    names = sorted(set(known))
    if profile in names:
        return
    meant = closest(profile, names)
    hint = f"; did you mean {meant!r}?" if meant else f"; there is {', '.join(names)}" if names else ""
    raise ConfigError(
        f"No file in {where} is for the profile {profile!r}{hint}.",
        fix=f"Name another by --profile or CRMBRIDGE_PROFILE, or write crmbridge.{profile}.yaml.",
        code="profile",
    )


def _layers(files: Sequence[File]) -> dict[str, str]:
    """Stem of an overlay -> its profile. Only what lies beside a file of the first name is one."""
    stems = {file.stem for file in files}
    found: dict[str, str] = {}
    for stem in stems:
        base, dot, layer = stem.rpartition(".")
        if dot and base in stems:
            found[stem] = layer
    return found


def lay_over(base: Source, over: Source) -> Source:
    findings = [*base.findings, *over.findings]
    if over.data is None:
        return replace(base, findings=findings)
    if base.data is None:
        return replace(base, findings=findings)
    made = replace(base, data=base.data, keys=dict(base.keys), values=dict(base.values), findings=findings)
    if not isinstance(base.data, dict) or not isinstance(over.data, dict):
        made.findings.append(
            over.finding((), "must be keys and values, like the file it is laid over", code="overlay-not-map")
        )
        return made
    made.data = _merged(made, base.data, over, over.data, ())
    return made


def _merged(made: Source, data: Any, over: Source, news: Mapping[str, Any], path: Path) -> dict[str, Any]:
    merged = dict(data)
    for key, new in news.items():
        here = (*path, key)
        old = merged.get(key)
        if new is None:
            if key not in merged:
                message = "there is nothing to take away; take this line out"
                made.findings.append(
                    over.finding(here, message, code="overlay-nothing", suggestion=closest(key, merged), key=True)
                )
                continue
            _forget(made, here)
            del merged[key]
        elif isinstance(new, dict) and isinstance(old, dict):
            merged[key] = _merged(made, old, over, new, here)
        else:
            _forget(made, here)
            made.keys.update(_below(over.keys, here))
            made.values.update(_below(over.values, here))
            merged[key] = new
    return merged


def _forget(source: Source, path: Path) -> None:
    for places in (source.keys, source.values):
        for known in list(_below(places, path)):
            del places[known]


def _below(places: Mapping[Path, Place], path: Path) -> dict[Path, Place]:
    return {known: place for known, place in places.items() if known[: len(path)] == path}

"""`crmbridge.test.yaml` over `crmbridge.yaml`: which profile holds, and the settings with its file laid over them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from mapping.layers import NO_PROFILES, check_profile, files_at, lay_over, profiles_of
from mapping.source import Source, read_file

VARIABLE: Final = "CRMBRIDGE_PROFILE"


def profile_of(given: str | None, *surroundings: Mapping[str, str]) -> str | None:
    """As given, else from the first surroundings that name one."""
    return given or next((env[VARIABLE] for env in surroundings if env.get(VARIABLE)), None)


def overlay_of(file: Path, profile: str) -> Path:
    return file.with_name(f"{file.stem}.{profile}{file.suffix}")


def read_with_profile(file: Path, profile: str | None) -> Source:
    source = _read(file)
    over = overlay_of(file, profile) if profile is not None else None
    return lay_over(source, _read(over)) if over is not None and over.is_file() else source


def _read(file: Path) -> Source:
    """What is said of an empty mapping does not fit here."""
    source = read_file(file)
    words = "is empty; write its `connections:` (`crmbridge init DIR` makes one to begin with)"
    source.findings = [
        replace(finding, message=words) if finding.code == "file-empty" else finding for finding in source.findings
    ]
    return source


def must_exist(profile: str, file: Path, mappings: Path) -> None:
    """Raises ConfigError for a profile that neither settings nor mappings have a file for."""
    start, end = f"{file.stem}.", file.suffix
    here = {one.name.removeprefix(start).removesuffix(end) for one in file.parent.glob(f"{start}*{end}")} - {""}
    known = {name for name in here if overlay_of(file, name).is_file() and "." not in name} - NO_PROFILES
    check_profile(profile, known | profiles_of(files_at(mappings)), str(file.parent))

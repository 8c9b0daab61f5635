"""`crmbridge.test.yaml` over `crmbridge.yaml`: which profile holds, and the settings with its file laid over them."""

from collections.abc import Mapping
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
    source = read_file(file)
    over = overlay_of(file, profile) if profile is not None else None
    return lay_over(source, read_file(over)) if over is not None and over.is_file() else source


def must_exist(profile: str, file: Path, mappings: Path) -> None:
    """Raises ConfigError for a profile that neither settings nor mappings have a file for."""
    start, end = f"{file.stem}.", file.suffix
    here = {one.name.removeprefix(start).removesuffix(end) for one in file.parent.glob(f"{start}*{end}")} - {""}
    known = {name for name in here if overlay_of(file, name).is_file() and "." not in name} - NO_PROFILES
    check_profile(profile, known | profiles_of(files_at(mappings)), str(file.parent))

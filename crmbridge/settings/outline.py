"""What the tools for mapping files need of the settings, where nothing is connected to: names, systems, the folder.

Read without secrets and without references into the environment, so that a mapping can be tested on any machine.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crmbridge.errors import ConfigError
from crmbridge.settings.connections import SYSTEMS
from crmbridge.settings.document import FILE_NAME, Settings
from crmbridge.settings.profile import must_exist, profile_of, read_with_profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    path: Path
    connections: Mapping[str, str]  # name -> system, left first
    mappings_folder: Path
    profile: str | None = None


def outline(
    path: str | os.PathLike[str] | None = None, env: Mapping[str, str] | None = None, *, profile: str | None = None
) -> Outline:
    """Raises ConfigError where even that much cannot be read; what else is wrong is the affair of `load`."""
    env = os.environ if env is None else env
    file = Path(path or env.get("CRMBRIDGE_CONFIG") or FILE_NAME)
    if not file.is_file():
        raise ConfigError(
            f"There is no {file}.",
            fix="`crmbridge init` makes a working folder; or name the file by --config or CRMBRIDGE_CONFIG.",
            code="no_settings",
        )
    profile = profile_of(profile, env)
    source = read_with_profile(file, profile)
    problems = [str(finding) for finding in source.findings]
    data: Mapping[str, Any] = source.data if isinstance(source.data, dict) else {}
    found: Any = data.get("connections")
    systems = {
        str(name): connection.get("system") if isinstance(connection, dict) else None
        for name, connection in (found.items() if isinstance(found, dict) else ())
    }
    if not problems and (len(systems) != 2 or any(system not in SYSTEMS for system in systems.values())):
        place = source.place(("connections",), key=True)
        problems.append(f"{place}: connections: there must be exactly two, each with system: {' or '.join(SYSTEMS)}")
    if problems:
        count = len(problems)
        raise ConfigError(
            f"{file} has {'a problem' if count == 1 else f'{count} problems'}.",
            problems=tuple(problems),
            fix="Correct what is named; nothing was started.",
        )
    folder = env.get("CRMBRIDGE_MAPPINGS") or data.get("mappings") or Settings.model_fields["mappings"].default
    mappings_folder = file.parent / Path(str(folder)).expanduser()
    if profile is not None:
        must_exist(profile, file, mappings_folder)
    return Outline(
        path=file.absolute(),
        connections={name: str(system) for name, system in systems.items()},
        mappings_folder=mappings_folder,
        profile=profile,
    )

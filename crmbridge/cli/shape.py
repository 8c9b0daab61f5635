"""What the systems in a shape file have, as if both were asked: the file is served by a sandbox and described there.

So a shape is read by the very code that reads a CRM. Nothing outside of this machine is asked.
"""

import re
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from crmbridge.errors import ConfigError
from crmbridge.model import ENTITIES, SIDES, Entity, Side

if TYPE_CHECKING:
    from connectors.base import Connector, Description

_FIX: Final = "`crmbridge capture` writes such a file; docs/howto/rehearse-on-your-own-shape.md tells its form."
SYSTEMS: Final = ("salesforce", "dynamics")

_SETTINGS: Final = {
    "salesforce": """\
  {name}:
    system: salesforce
    url: {box[salesforce][url]}
    login_url: {box[salesforce][url]}
    auth: {{flow: client_credentials, client_id: {box[salesforce][client_id]}, client_secret: "${{env:{secret}}}"}}
""",
    "dynamics": """\
  {name}:
    system: dynamics
    url: {box[dynamics][url]}
    login_url: {identity}
    ca_file: {box[ca_path]}
    auth:
      flow: client_secret
      tenant_id: {box[dynamics][tenant_id]}
      client_id: {box[dynamics][client_id]}
      client_secret: "${{env:{secret}}}"
""",
}


def read_shape(path: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    """By the keys of the file, the first system first: its kind, and its shape."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as problem:
        why = problem.strerror or type(problem).__name__
        raise ConfigError(f"{path} cannot be read: {why}.", fix=_FIX, code="shape") from problem
    except (ValueError, YAMLError) as problem:
        raise ConfigError(f"{path} cannot be read: {problem}.", fix=_FIX, code="shape") from problem
    document = document if isinstance(document, dict) else {}
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for key, shape in document.items():
        system = shape.get("system", key) if isinstance(shape, dict) else None
        if isinstance(shape, dict) and system in SYSTEMS:
            found[str(key)] = (system, {name: part for name, part in shape.items() if name != "system"})
    if len(found) != len(SIDES) or len(found) != len(document):
        raise ConfigError(
            f"{path} holds the shapes of {len(found)} systems; a mapping is between two.",
            fix=f"It needs two keys, the names of the systems. {_FIX}",
            code="shape",
        )
    return found


def describe_shape(
    path: Path, connections: Mapping[str, str] | None = None
) -> "tuple[dict[str, str], dict[tuple[Side, Entity], Description]]":
    """Connections (name -> system) and what each has; the names are the file's own unless others are given."""
    shapes = read_shape(path)
    names = _named(path, shapes, connections)
    descriptions: dict[tuple[Side, Entity], Description] = {}
    with _served(shapes, names) as connectors:
        for side, connector in connectors.items():
            for entity in ENTITIES:
                descriptions[side, entity] = connector.describe(entity)
    return {name: shapes[key][0] for name, key in names.items()}, descriptions


def _named(path: Path, shapes: Mapping[str, tuple[str, Any]], connections: Mapping[str, str] | None) -> dict[str, str]:
    """Connection -> key of the file: by name, else by system."""
    if connections is None:
        return {key: key for key in shapes}
    by_system = {system: key for key, (system, _) in shapes.items()}
    named = {name: name if name in shapes else by_system.get(system, "") for name, system in connections.items()}
    missing = [name for name, key in named.items() if not key or shapes[key][0] != connections[name]]
    if missing or len(set(named.values())) < len(named):
        raise ConfigError(
            f"{path} has no shape for the connection {(missing or list(named))[0]}; it has {', '.join(shapes)}.",
            fix="Call the shapes what the connections are called, with `system:` beside.",
            code="shape",
        )
    return named


@contextmanager
def _served(
    shapes: Mapping[str, tuple[str, dict[str, Any]]], names: Mapping[str, str]
) -> "Generator[dict[Side, Connector]]":
    """A sandbox for each shape, and our own connectors to them."""
    from contextlib import ExitStack

    from ruamel.yaml import YAML

    from crmbridge import settings, wiring

    try:
        from crmbridge.sandbox.seed import SeedError
        from crmbridge.sandbox.server import running_sandbox
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("crmbridge"):
            raise
        raise ConfigError(
            f"To read a shape, the package {missing.name!r} is needed.", fix="pip install 'crmbridge[sandbox]'"
        ) from missing
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crmbridge-shape-")))
        parts, secrets = ["connections:\n"], dict[str, str]()
        for number, (name, key) in enumerate(names.items()):
            system, shape = shapes[key]
            seed = folder / str(number)
            seed.mkdir()
            with (seed / f"{system}.shape.yaml").open("w", encoding="utf-8") as file:
                YAML(typ="safe", pure=True).dump(shape, file)
            try:
                box = stack.enter_context(running_sandbox(seed, state_dir=seed / "state")).connect
            except SeedError as problem:
                # Its positions are those of a copy of this one shape.
                words = re.sub(r"^.*\.shape\.yaml(:\d+)*: ", "", str(problem))
                raise ConfigError(f"The shape {key} cannot be served: {words}", fix=_FIX, code="shape") from problem
            identity = box["dynamics"]["authority"].rpartition("/")[0]
            secret = f"SHAPE_{number}"
            secrets[secret] = box[system]["client_secret"]
            parts.append(_SETTINGS[system].format(name=name, box=box, identity=identity, secret=secret))
        (folder / "crmbridge.yaml").write_text("".join(parts), encoding="utf-8")
        connectors = wiring.open_connectors(settings.load(folder / "crmbridge.yaml", env=secrets))
        try:
            yield connectors
        finally:
            for connector in connectors.values():
                connector.close()

"""What comes along with crmbridge, as CycloneDX JSON: `make sbom`, or `python -m tests.support.sbom FILE`.

cyclonedx-py lists everything in this environment, tools of developers too; kept is what `crmbridge[all]` needs.
"""

import json
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]


def needed() -> set[str]:
    """Names of all that is installed with `pip install crmbridge[all]` on this machine."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ours = [*project["dependencies"], *(line for some in project["optional-dependencies"].values() for line in some)]
    seen: set[tuple[str, str]] = set()
    todo = [("crmbridge", "")]
    while todo:
        name, extra = one = todo.pop()
        if one in seen:
            continue
        seen.add(one)
        try:
            lines = ours if name == "crmbridge" else requires(name) or []
        except PackageNotFoundError:  # for another system, or older Pythons
            continue
        for line in lines:
            asked = Requirement(line)
            if asked.marker is None or asked.marker.evaluate({"extra": extra}):
                todo += [(canonicalize_name(asked.name), each) for each in ("", *asked.extras)]
    return {name for name, _ in seen} - {"crmbridge"}


def document() -> dict[str, Any]:
    tool = Path(sys.executable).with_name("cyclonedx-py")
    options = ["--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible", "--of", "JSON", "-o", "-"]
    done = subprocess.run([tool, "environment", *options, sys.executable], capture_output=True, text=True, check=True)
    whole = json.loads(done.stdout)
    names = needed()
    kept = [one for one in whole["components"] if canonicalize_name(one["name"]) in names]
    refs = {one["bom-ref"] for one in kept} | {whole["metadata"]["component"]["bom-ref"]}
    whole["components"] = kept
    whole["dependencies"] = [
        {**one, "dependsOn": [each for each in one["dependsOn"] if each in refs]} if "dependsOn" in one else one
        for one in whole["dependencies"]
        if one["ref"] in refs
    ]
    return whole


def main() -> None:
    file = Path(sys.argv[1])
    file.parent.mkdir(parents=True, exist_ok=True)
    made = document()
    file.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    print(f"{file}: {len(made['components'])} packages")


if __name__ == "__main__":
    main()

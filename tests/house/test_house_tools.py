"""Style, import contracts, dependencies and types, by the same commands as `make lint`."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["ruff", "check", "."], id="style"),
        pytest.param(["ruff", "format", "--check", "."], id="format"),
        pytest.param(["lint-imports"], id="import contracts"),
        pytest.param(["deptry", "."], id="dependencies"),
        pytest.param(["basedpyright"], id="types", marks=pytest.mark.slow),
    ],
)
def test_clean(command: list[str]) -> None:
    ran = subprocess.run(
        [BIN / command[0], *command[1:]], cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=280
    )
    assert ran.returncode == 0, f"{' '.join(command)}\n{ran.stdout}\n{ran.stderr}"

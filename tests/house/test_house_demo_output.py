"""What the README says that `make demo` prints is what it prints."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[2] / "README.md"
_ID = re.compile(r"\b(?:[0-9A-Za-z]{18}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b")


@pytest.mark.slow
def test_the_readme_shows_what_the_demo_prints() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "crmbridge", "demo"], capture_output=True, text=True, check=False, timeout=240
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    printed = [_ID.sub("ID", line) for line in ran.stdout.splitlines()]
    (shown,) = re.findall(r"^```text\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    at = 0
    for line in shown.splitlines():
        if line not in {"...", ""}:
            assert _ID.sub("ID", line) in printed[at:], f"not printed, or not in this order: {line}"
            at = printed.index(_ID.sub("ID", line), at) + 1

"""How long the sandbox takes from its imports to its first answer."""

import subprocess
import sys
from collections.abc import Iterator
from statistics import median

RUNS = 5
_PROGRAM = """
import tempfile, time
from pathlib import Path
import crmbridge.sandbox.dynamics.app, crmbridge.sandbox.salesforce.app, crmbridge.sandbox.identity
from crmbridge.sandbox.server import running_sandbox
used, began = time.process_time(), time.perf_counter()
with tempfile.TemporaryDirectory() as folder, running_sandbox("sample", state_dir=Path(folder)) as box:
    print(time.perf_counter() - began, time.process_time() - used)
"""


def measure() -> Iterator[tuple[str, str]]:
    """Both CRMs and the identity service, listening, over TLS too: a certificate authority is made on the way."""
    runs = [
        subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
        for _ in range(RUNS)
    ]
    found = [tuple(map(float, run.stdout.split())) for run in runs]
    yield f"best of {RUNS}", f"{min(wall for wall, _ in found):.2f} s ({min(cpu for _, cpu in found):.2f} s of CPU)"
    yield "the middle", f"{median(wall for wall, _ in found):.2f} s ({median(cpu for _, cpu in found):.2f} s of CPU)"

"""A process with the sandbox in it, one CRM loaded: `python -m benchmarks.sandbox.served salesforce 1000000`.

Says on one line of JSON where it listens and what loading took, and stops when its standard input ends.
"""

import gc
import json
import sys
import tempfile
import threading
import time
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.sandbox.process import resident
from benchmarks.sandbox.rows import TABLES, leads
from crmbridge.sandbox.core import Crm
from crmbridge.sandbox.sandbox import Sandbox
from crmbridge.sandbox.server import running_sandbox

CHUNK = 20_000


def main() -> None:
    crm: Crm = "dynamics" if sys.argv[1] == "dynamics" else "salesforce"
    count = int(sys.argv[2])
    sandbox = Sandbox("sample")
    gc.collect()
    empty = resident()
    began, used = time.perf_counter(), time.process_time()
    rows = leads(crm, count)
    gc.disable()
    while chunk := list(islice(rows, CHUNK)):
        sandbox.crms[crm].load({TABLES[crm]: chunk})
    gc.enable()
    loading = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - used}
    gc.collect()
    gc.freeze()
    told: dict[str, Any] = {"loading": loading, "bytes": resident() - empty}
    with tempfile.TemporaryDirectory() as folder, running_sandbox(sandbox=sandbox, state_dir=Path(folder)) as box:
        print(json.dumps({**told, "connect": box.connect}), flush=True)
        stop = threading.Event()
        threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
        stop.wait()


if __name__ == "__main__":
    main()

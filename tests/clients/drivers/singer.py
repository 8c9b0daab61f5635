"""A Singer tap by its command line: discover, select one stream, read it, and again from a state.

singer.py PROGRAM CONFIG STREAM [STATE]: prints records, the state, and what the catalog says of the stream.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAM, CONFIG, STREAM, *STATE = sys.argv[1:]
BIN = Path(sys.executable).parent


def run(*words: str) -> str:
    done = subprocess.run([BIN / PROGRAM, *words], capture_output=True, text=True, check=False, timeout=200)
    if done.returncode:
        raise SystemExit(done.stderr[-4000:])
    return done.stdout


def main() -> Any:
    catalog = json.loads(run("--config", CONFIG, "--discover"))
    (stream,) = (each for each in catalog["streams"] if each["stream"] == STREAM)
    for each in stream["metadata"]:
        if each["metadata"].get("inclusion") != "unsupported":
            each["metadata"]["selected"] = True
        if not each["breadcrumb"] and each["metadata"].get("valid-replication-keys"):
            (key,) = each["metadata"]["valid-replication-keys"]
            each["metadata"] |= {"replication-method": "INCREMENTAL", "replication-key": key}
    Path("catalog.json").write_text(json.dumps({"streams": [stream]}), encoding="utf-8")
    flag = "--properties" if PROGRAM == "tap-salesforce" else "--catalog"
    words = ["--config", CONFIG, flag, "catalog.json", *(["--state", STATE[0]] if STATE else [])]
    lines = [json.loads(line) for line in run(*words).splitlines() if line.strip()]
    states = [each["value"] for each in lines if each["type"] == "STATE"]
    Path("state.json").write_text(json.dumps(states[-1]), encoding="utf-8")
    return {
        "streams": sorted(each["stream"] for each in catalog["streams"]),
        "properties": stream["schema"]["properties"],
        "state": states[-1],
        "records": [each["record"] for each in lines if each["type"] == "RECORD"],
    }


print(json.dumps(main()))

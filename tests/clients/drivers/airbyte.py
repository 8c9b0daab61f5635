"""An Airbyte source by its command line: `check`, or `read STREAM MODE [STATE]`; its settings are the first file's.

airbyte.py PROGRAM CONFIG check|read ...: prints its verdict, or records, state and the stream's description.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAM, CONFIG, ACTION, *REST = sys.argv[1:]
BIN = Path(sys.executable).parent


def run(*words: str) -> list[dict[str, Any]]:
    done = subprocess.run([BIN / PROGRAM, *words], capture_output=True, text=True, check=False, timeout=200)
    found = []
    for line in done.stdout.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            print(line, file=sys.stderr)
    if done.stderr:
        print(done.stderr[-3000:], file=sys.stderr)
    for message in found:
        if message["type"] == "TRACE" and "error" in message["trace"] and ACTION != "check":
            print(message["trace"]["error"].get("internal_message"), file=sys.stderr)
            raise SystemExit(f"{message['trace']['error']['message']}\n{message['trace']['error'].get('stack_trace')}")
    return found


def check() -> Any:
    messages = run("check", "--config", CONFIG)
    status = next((each["connectionStatus"] for each in messages if each["type"] == "CONNECTION_STATUS"), None)
    trace = next(
        (
            each["trace"]["error"]["message"]
            for each in messages
            if each["type"] == "TRACE" and "error" in each["trace"]
        ),
        None,
    )
    return {"status": status and status["status"], "message": (status or {}).get("message"), "trace": trace}


def read(stream: str, mode: str, state: str | None = None) -> Any:
    (catalog,) = (each["catalog"] for each in run("discover", "--config", CONFIG) if each["type"] == "CATALOG")
    found = next(each for each in catalog["streams"] if each["name"] == stream)
    configured = {
        "stream": found,
        "sync_mode": mode,
        "destination_sync_mode": "append",
        "primary_key": found.get("source_defined_primary_key"),
        "cursor_field": found.get("default_cursor_field") or ["SystemModstamp"],
    }
    Path("catalog.json").write_text(json.dumps({"streams": [configured]}), encoding="utf-8")
    messages = run("read", "--config", CONFIG, "--catalog", "catalog.json", *(["--state", state] if state else []))
    states = [each["state"] for each in messages if each["type"] == "STATE"]
    Path("state.json").write_text(json.dumps(states[-1:]), encoding="utf-8")
    return {
        "streams": sorted(each["name"] for each in catalog["streams"]),
        "properties": found["json_schema"]["properties"],
        "modes": found["supported_sync_modes"],
        "state": states[-1] if states else None,
        "records": [each["record"]["data"] for each in messages if each["type"] == "RECORD"],
    }


print(json.dumps(check() if ACTION == "check" else read(*REST)))

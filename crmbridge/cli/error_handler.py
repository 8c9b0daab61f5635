"""What a command ends with: one sentence for people, one number for scripts.

    0    all done
    1    done, with records held or failed; or stopped by the guard
    2    your configuration or command line
    3    our bug: a report to paste, without secrets and without values of records
    4    something outside did not serve (a CRM, login, broker, store, disk), or another run is at work
    130  interrupted

There are two kinds of trouble: "you can act" (a sentence with the next step, no traceback) and "our bug".
"""

import os
import platform
import sys
import traceback
from collections.abc import Sequence
from typing import Any, Final

import click

from crmbridge.errors import ConfigError, CrmBridgeError
from crmbridge.printable import printable
from crmbridge.trouble import where

DONE: Final = 0
HELD: Final = 1
CONFIGURATION: Final = 2
BUG: Final = 3
OUTSIDE: Final = 4
INTERRUPTED: Final = 130

# The traceback as Python prints it, values and all: for those who look for the bug on their own machine.
DEBUG_VARIABLE: Final = "CRMBRIDGE_DEBUG"


def run(words: Sequence[str]) -> int:
    """Carry out one command line; returns the exit code."""
    from crmbridge.cli.group import cli

    try:
        result = cli.main(args=list(words), prog_name="crmbridge", standalone_mode=False)
        _flush()
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else DONE if ending.code is None else HELD
    except BrokenPipeError:
        # The reader has gone (`| head`): nothing to say, and nothing more to write at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except BaseException as error:  # noqa: BLE001 - the one place where every trouble ends
        return _tell(error, as_json="--json" in words)
    return result if isinstance(result, int) and not isinstance(result, bool) else DONE


def _tell(error: BaseException, *, as_json: bool) -> int:
    code, document = _judge(error)
    if as_json:
        from crmbridge.cli.output import print_json

        print_json({"ok": False, "exit_code": code, "error": document})
    click.echo(printable(_sentences(error, document)), err=True)  # a message may quote a record
    return code


def _judge(error: BaseException) -> tuple[int, dict[str, Any]]:
    match error:
        case ConfigError():
            return error.exit_code, _document("configuration", error) | {"problems": list(error.problems)}
        case CrmBridgeError():
            return error.exit_code, _document("outside" if error.exit_code == OUTSIDE else "held", error)
        case click.UsageError():
            return CONFIGURATION, {"kind": "usage", "message": error.format_message(), "fix": _usage(error)}
        case click.ClickException():
            return CONFIGURATION, {"kind": "usage", "message": error.format_message(), "fix": ""}
        case KeyboardInterrupt() | click.Abort():
            return INTERRUPTED, {
                "kind": "interrupted",
                "message": "Interrupted.",
                "fix": "Nothing is lost: the next sync goes on where this one stopped.",
            }
        case OSError() if error.filename is not None or error.errno is not None:
            what = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
            return OUTSIDE, {
                "kind": "outside",
                "message": f"The system refused: {what}.",
                "fix": "Check that the path exists and that there is room and the right to write; then start again.",
            }
        case _:
            return BUG, {"kind": "bug", "message": _summary(error), "report": report(error)}


def _document(kind: str, error: CrmBridgeError) -> dict[str, Any]:
    return {"kind": kind, "message": error.message, "fix": error.fix, "code": error.code}


def _usage(error: click.UsageError) -> str:
    command = error.ctx.command_path if error.ctx else "crmbridge"
    return f"{command} --help tells what there is."


def _sentences(error: BaseException, document: dict[str, Any]) -> str:
    if document["kind"] == "bug":
        if os.environ.get(DEBUG_VARIABLE):
            return "".join(traceback.format_exception(error))
        return (
            "crmbridge ran into an error of its own. Nothing is half done: what was sent is written down, and the next "
            "sync goes on from there.\nPlease open an issue with these lines; they hold no secrets and no values of "
            f"records:\n\n{document['report']}\n\n({DEBUG_VARIABLE}=1 shows Python's own traceback, values included.)"
        )
    lines = [document["message"]]
    lines += [f"  {problem}" for problem in document.get("problems", ()) if problem not in document["message"]]
    if document["fix"]:
        lines.append(document["fix"])
    return "\n".join(lines) if len(lines) > 2 or "\n" in lines[0] else " ".join(lines)


# --- our bug ------------------------------------------------------------------------------------------------------


def _summary(error: BaseException) -> str:
    return f"An error of crmbridge's own: {type(error).__name__}."


def report(error: BaseException) -> str:
    """Where it happened and on what. An exception's text may hold a customer's value, so only its type is told."""
    from importlib.metadata import PackageNotFoundError, version

    def of(name: str) -> str:
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            return f"{name} -"

    lines = [
        f"crmbridge    {of('crmbridge').split()[1]}",
        f"python       {platform.python_version()} on {platform.system()} {platform.machine()}",
        f"libraries    {', '.join(of(name) for name in ('celery', 'requests', 'simple-salesforce', 'SQLAlchemy'))}",
    ]
    return "\n".join([*lines, *where(error)])


def _flush() -> None:
    sys.stdout.flush()

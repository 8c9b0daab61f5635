"""How commands end: exit codes, sentences, JSON, and a report of our own bugs that tells no secrets."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import click
import pytest

from crmbridge.cli import group
from crmbridge.cli.error_handler import BUG, CONFIGURATION, DONE, HELD, INTERRUPTED, OUTSIDE, run
from crmbridge.errors import AccessError, ConfigError, GuardError, LeaseTaken, OutsideError, RefusedError, TryLater

SECRET = "kari.nordmann@x.example"


def bug() -> None:
    raise ValueError(f"cannot parse {SECRET}")


def chained_bug() -> None:
    try:
        bug()
    except ValueError as error:
        raise KeyError(SECRET) from error


CASES: list[tuple[BaseException | Callable[[], None] | int | None, int, str]] = [
    (None, DONE, ""),
    (1, HELD, ""),
    (
        ConfigError("It is wrong.", problems=("a.yaml:1:2: x: odd",), fix="Mend it."),
        CONFIGURATION,
        "a.yaml:1:2: x: odd",
    ),
    (click.UsageError("No such option."), CONFIGURATION, "No such option."),
    (AccessError("The login was refused."), OUTSIDE, "refused"),
    (OutsideError("It is down.", fix="Start it."), OUTSIDE, "Start it."),
    (TryLater("Too many requests."), OUTSIDE, "Too many"),
    (LeaseTaken("Another run is at work."), OUTSIDE, "Another run"),
    (OSError(28, "No space left on device", "/data/x"), OUTSIDE, "/data/x: No space left on device"),
    (GuardError("It wants a yes."), HELD, "yes"),
    (RefusedError("It was refused."), HELD, "refused"),
    (KeyboardInterrupt(), INTERRUPTED, "the next sync goes on"),
    (click.Abort(), INTERRUPTED, "Interrupted"),
    (bug, BUG, "ValueError"),
    (chained_bug, BUG, "KeyError"),
]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """A command that ends in the given way."""

    def set_up(ending: Any) -> None:
        def body(as_json: bool) -> Any:
            if isinstance(ending, BaseException):
                raise ending
            return ending() if callable(ending) else ending

        made = click.Command("ending", callback=body, params=[click.Option(["--json", "as_json"], is_flag=True)])
        monkeypatch.setattr(sys.modules[__name__], "ending", made, raising=False)
        monkeypatch.setitem(group.COMMANDS, "ending", (f"{__name__}:ending", "Ends."))
        monkeypatch.setattr(group, "import_module", lambda name: sys.modules[__name__])

    return set_up


@pytest.mark.parametrize(("ending", "code", "said"), CASES)
def test_each_ending_has_its_code_and_its_sentence(
    command: Callable[[Any], None], capsys: pytest.CaptureFixture[str], ending: Any, code: int, said: str
) -> None:
    command(ending)
    assert run(["ending"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "Traceback" not in err
    assert SECRET not in err


@pytest.mark.parametrize(("ending", "code", "said"), CASES[2:])
def test_with_json_stdout_is_one_document_that_says_the_same(
    command: Callable[[Any], None], capsys: pytest.CaptureFixture[str], ending: Any, code: int, said: str
) -> None:
    command(ending)
    assert run(["ending", "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == code
    assert document["ok"] is False
    assert document["error"]["message"]
    assert SECRET not in json.dumps(document)


def test_a_report_of_our_bug_names_places_in_our_code_but_no_machine(
    command: Callable[[Any], None], capsys: pytest.CaptureFixture[str]
) -> None:
    command(chained_bug)
    run(["ending"])
    err = capsys.readouterr().err
    assert "crmbridge/cli/error_handler.py:" in err
    assert "builtins.KeyError" in err
    assert "builtins.ValueError" in err
    assert "in chained_bug" in err
    assert "/home" not in err
    assert "site-packages" not in err


def test_an_unknown_command_is_answered_with_the_one_that_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verfy"]) == CONFIGURATION
    assert "Did you mean 'verify'?" in capsys.readouterr().err


def test_help_starts_without_the_engine() -> None:
    heavy = ("sqlalchemy", "celery", "requests", "msal", "simple_salesforce", "pydantic", "msgspec", "lxml", "kombu")
    program = (
        "import sys; from crmbridge.cli.error_handler import run; code = run(['--help']); "
        f"print([name for name in {heavy} if name in sys.modules], file=sys.stderr); sys.exit(code)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stderr.strip() == "[]"
    for name in group.COMMANDS:
        assert name in ran.stdout


@pytest.mark.parametrize("name", group.COMMANDS)
def test_each_command_tells_what_it_does(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == DONE
    out = capsys.readouterr().out
    assert f"crmbridge {name}" in out
    assert "--json" in out or name in ("up", "metrics")  # which run until they are stopped

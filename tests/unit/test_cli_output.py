"""What commands print: cells of several lines, and places as seen from where the command was typed."""

import sys
from pathlib import Path

import pytest

from crmbridge.cli.output import console, head, say, seen_from_here, table
from crmbridge.cli.progress import progress


def test_a_list_stands_line_by_line_in_its_cell_and_a_stranger_s_line_end_does_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console.cache_clear()
    table(["words", "note"], [[["Prospecting", "Qualifi\ncation"], "a\nb"], [(), None]])
    console.cache_clear()
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[2:] == [["Prospecting", "a\\nb"], ["Qualifi\\ncation"], ["-", "-"]]


def test_a_place_below_the_working_directory_is_told_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert seen_from_here(f"{tmp_path}/mappings/lead.yaml:3:1") == "mappings/lead.yaml:3:1"
    assert seen_from_here("/elsewhere/lead.yaml:3:1") == "/elsewhere/lead.yaml:3:1"
    assert seen_from_here(f"{tmp_path}-other/lead.yaml") == f"{tmp_path}-other/lead.yaml"


# What rich, left to itself, would make a picture of, obey, or take away.
AS_IT_IS = "mappings/lead.yaml:100:16: error: a :fire: b, [bold]x[/bold], [/y]"


def test_a_place_and_a_stranger_s_text_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    console.cache_clear()
    say(AS_IT_IS)
    head(AS_IT_IS)
    table([AS_IT_IS], [[AS_IT_IS]], title=AS_IT_IS)
    console.cache_clear()
    said = [line.strip() for line in capsys.readouterr().out.splitlines() if ".yaml" in line]
    assert said == [AS_IT_IS] * 5


def test_so_is_what_the_bar_says(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    with progress() as bar:
        bar.step(AS_IT_IS)
    assert AS_IT_IS in capsys.readouterr().err

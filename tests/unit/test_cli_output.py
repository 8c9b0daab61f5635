"""What commands print: cells of several lines, and places as seen from where the command was typed."""

from pathlib import Path

import pytest

from crmbridge.cli.output import console, seen_from_here, table


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

"""The way back to a version of the mapping: which one is meant, and that no draft is lost on the way."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from crmbridge.cli.mapping.versions import find, write_back
from crmbridge.errors import ConfigError
from crmbridge.state.words import MappingRow


def version(number: str, label: str = "", text: str = "entity: lead\n") -> MappingRow:
    return MappingRow(
        id=number, label=label, texts={"lead.yaml": text}, first_used_at=datetime(2026, 11, 1, tzinfo=UTC)
    )


def test_no_draft_is_lost_however_often_somebody_goes_back(tmp_path: Path) -> None:
    file = tmp_path / "lead.yaml"
    drafts = ["entity: lead # first\n", "entity: lead # second\n", "entity: lead # third\n"]
    kept: list[str] = []
    for draft in drafts:
        file.write_text(draft)
        kept += write_back(tmp_path, version("a"))[1]
    assert kept == ["lead.yaml.before-rollback", "lead.yaml.before-rollback-2", "lead.yaml.before-rollback-3"]
    assert [(tmp_path / name).read_text() for name in kept] == drafts
    assert file.read_text() == "entity: lead\n"


def test_the_same_draft_is_kept_once(tmp_path: Path) -> None:
    file = tmp_path / "lead.yaml"
    for _ in range(2):
        file.write_text("entity: lead # draft\n")
        assert write_back(tmp_path, version("a"))[1] == ["lead.yaml.before-rollback"]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_version_goes_by_its_id_or_by_what_it_is_called_where_that_is_one() -> None:
    rows = [version("89dd434d00c1", "spring"), version("41148d6e12bc", "autumn"), version("5ee3df100000", "autumn")]
    assert find(rows, "89dd") is rows[0]
    assert find(rows, "spring") is rows[0]
    with pytest.raises(ConfigError, match=r"2 versions .*41148d6e12bc, 5ee3df100000"):
        find(rows, "autumn")
    with pytest.raises(ConfigError, match="no version begins with it or is called so"):
        find(rows, "winter")

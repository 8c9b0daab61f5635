"""Converters of packages: the one that the how-to shows, installed as a package would be, and broken ones."""

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import mapping
from mapping.plugins import offered
from mapping.transforms import CONVERTERS
from tests.support.mapping_made import Made, columns, described, told

HOWTO = Path(__file__).parents[2] / "docs" / "howto" / "write-a-converter.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", HOWTO.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
LINE = "vat: {salesforce: VAT__c, dynamics: new_vat, convert: acme_vat}"
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a package beside the installed ones, as pip does, for the time of a test."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def put_there(module: str, entry: str = "acme_vat = acme_converters:VAT") -> None:
        (tmp_path / "acme_converters.py").write_text(module)
        meta = tmp_path / "acme_converters-1.0.dist-info"
        meta.mkdir(exist_ok=True)
        (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-converters\nVersion: 1.0\n")
        (meta / "entry_points.txt").write_text(f"[crmbridge.converters]\n{entry}\n")
        importlib.invalidate_caches()
        forget()

    def forget() -> None:
        offered.cache_clear()
        CONVERTERS.forget()
        sys.modules.pop("acme_converters", None)

    yield put_there
    monkeypatch.undo()
    forget()


def block(kind: str, holds: str) -> str:
    (found,) = (text for language, text in BLOCKS if language == kind and holds in text)
    return found


def test_the_how_tos_converter_works_and_keeps_its_promises(install: Install) -> None:
    toml = block("toml", "entry-points")
    name, target = re.findall(r'^(\w+) = "(\w+:\w+)"$', toml, re.MULTILINE)[-1]
    install(block("python", "# acme_converters.py"), f"{name} = {target}")
    shown = block("text", "acme_vat").strip().splitlines()[-1].strip()
    assert shown == LINE
    made = Made(LINE, descriptions=described(columns(VAT__c="text 40"), columns(new_vat="text 20")))
    shared = made.get("left", VAT__c="de 129.273.398")
    assert shared.fields["vat"] == "DE129273398"
    assert made.put("right", shared.fields).columns["new_vat"] == "DE129273398"
    assert made.put("left", shared.fields, now={"VAT__c": "de 129.273.398"}).columns == {}
    refused = made.put("right", {"vat": "?"})
    assert [(p.cause, p.field) for p in refused.problems] == [("invalid_vat", "vat")]
    space: dict[str, Callable[[], None]] = {}
    exec(block("python", "test_the_two_promises"), space)
    space["test_the_two_promises"]()


def test_its_name_is_known_to_the_check_and_its_columns_are_compared(install: Install) -> None:
    install(block("python", "# acme_converters.py"))
    assert "acme_vat" in mapping.schema()["$defs"]["field"]["properties"]["convert"]["enum"]
    found = told(LINE.replace("acme_vat", "acme_vta"))
    assert any("did you mean 'acme_vat'?" in one for one in found), found
    found = told(LINE, descriptions=described(columns(VAT__c="text 40"), columns(new_vat="number")))
    assert any("new_vat is a number field in dynamics; 'acme_vat' cannot hold it" in one for one in found), found


def test_a_name_that_nobody_offers_is_said_as_ever() -> None:
    found = told(LINE)
    assert any("fields.vat.convert: 'acme_vat' is not one of boolean, choice" in one for one in found), found


@pytest.mark.parametrize(
    ("module", "entry", "message"),
    [
        ("raise ImportError('no such thing')", "acme_vat = acme_converters:VAT", "ImportError: no such thing"),
        ("VAT = 1", "acme_vat = acme_converters:VAT", "is a int, not a Converter"),
        ("", "acme_vat = acme_converters:VAT", "AttributeError"),
        ("", "acme_vat = acme_nowhere:VAT", "ModuleNotFoundError"),
    ],
)
def test_a_broken_package_is_a_problem_of_the_line(install: Install, module: str, entry: str, message: str) -> None:
    install(module, entry)
    for descriptions in (None, described(columns(VAT__c="text 40"), columns(new_vat="number"))):
        found = told(
            LINE + "\nother: {salesforce: A, dynamics: b, convert: lines, zone: Mars}", descriptions=descriptions
        )
        (broken,) = (one for one in found if "[converter-broken]" in one)
        assert broken.startswith(
            "account.yaml:6:57: fields.vat.convert: the converter 'acme_vat' of the package acme-conv"
        )
        assert message in broken
        assert any("other.zone" in one for one in found)  # the rest is told as well


def test_a_built_in_name_cannot_be_taken(install: Install) -> None:
    install(block("python", "# acme_converters.py"), "email = acme_converters:VAT")
    assert CONVERTERS["email"].name == "email"

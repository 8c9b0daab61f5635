"""The page about other people's clients is what their tests say; each is through everything, or says why not."""

import json

import pytest

from tests.clients import environments, table
from tests.clients.table import OPERATIONS, Client

CLIENTS = dict(table.clients())
REQUIRED = {
    "jsforce", "dynamics-web-api", "Salesforce CLI", "simple-salesforce", "salesforce-bulk", "aiosalesforce", "aio-sf",
    "zeep on a partner WSDL", "PowerPlatform-Dataverse-Client", "dataverse-api", "airbyte-source-salesforce",
    "airbyte-source-microsoft-dataverse", "tap-salesforce", "tap-ms-dynamics", "dlt (rest_api)",
}  # fmt: skip


def test_the_page_is_what_the_tests_say() -> None:
    assert table.PAGE.read_text(encoding="utf-8") == table.page(), "run: python -m tests.clients.table"


def test_all_clients_are_there() -> None:
    assert {client.name for client in CLIENTS.values()} >= REQUIRED


@pytest.mark.parametrize("client", CLIENTS.values(), ids=lambda client: client.name)
def test_each_operation_is_done_or_explained(client: Client) -> None:
    done = {deed.operation for deed in client.deeds}
    assert done.isdisjoint(client.cannot), "done and said to be impossible"
    assert done | set(client.cannot) == set(OPERATIONS)


def test_all_pins_are_exact() -> None:
    for name in environments.PYTHON_NAMES:
        lines = (environments.PINS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
        loose = [line for line in lines if not line.startswith("#") and line.count("==") != 1]
        assert not loose, f"{name}: {loose}"
    package = json.loads(environments.PACKAGE_JSON.read_text(encoding="utf-8"))
    versions = [*package["dependencies"].values(), *package["optionalDependencies"].values()]
    assert all(version[0].isdigit() for version in versions)

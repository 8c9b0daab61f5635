"""Another maker's client on the sandbox: dynamics-web-api (npm) over plain http (dataverse-api §13.2)."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from crmbridge.sandbox.server import running_sandbox

PACKAGE = "dynamics-web-api@2.5.0"
NODE, NPM = shutil.which("node"), shutil.which("npm")
pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(NODE is None or NPM is None, reason="node and npm are not on PATH"),
]

SCRIPT = """
import { DynamicsWebApi } from "dynamics-web-api";
const { url, token } = JSON.parse(process.env.SANDBOX);
const options = { dataApi: { version: "9.2" }, useEntityNames: true };
const api = new DynamicsWebApi({ serverUrl: url, onTokenRefresh: async () => token, ...options });
const seen = {};
seen.user = (await api.callFunction({ name: "WhoAmI" })).UserId;
const key = await api.create({ collection: "leads", data: { subject: "S", lastname: "Node", companyname: "Nodes" } });
await api.update({ collection: "leads", key, data: { jobtitle: "CEO" } });
seen.row = await api.retrieve({ collection: "leads", key, select: ["subject", "jobtitle", "statecode"] });
const three = { collection: "leads", select: ["subject"], maxPageSize: 3, includeAnnotations: "*" };
const page = await api.retrieveMultiple(three);
seen.page = [page.value.length, Boolean(page.oDataNextLink)];
seen.all = (await api.retrieveAll({ collection: "leads", select: ["subject"] })).value.length;
const tracked = await api.retrieveMultiple({ collection: "leads", select: ["subject"], trackChanges: true });
seen.delta = [tracked.value.length, Boolean(tracked.oDataDeltaLink)];
const action = { CreateAccount: true, CreateContact: true, CreateOpportunity: true, Status: 3 };
const qualify = { collection: "leads", key, actionName: "Microsoft.Dynamics.CRM.QualifyLead", action };
seen.qualified = (await api.callAction(qualify)).value.map((each) => each["@odata.type"]);
try { await api.callAction(qualify); } catch (error) { seen.refused = [error.status, error.code]; }
api.startBatch();
api.create({ collection: "accounts", data: { name: "B" }, contentId: "1" });
api.create({ collection: "contacts", data: { lastname: "C", "parentcustomerid_account@odata.bind": "$1" } });
api.retrieveMultiple({ collection: "contacts", select: ["fullname"], filter: "lastname eq 'C'" });
seen.batch = await api.executeBatch();
seen.count = await api.count({ collection: "accounts", filter: "name eq 'B'" });
console.log(JSON.stringify(seen));
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert NPM is not None
    folder = tmp_path_factory.mktemp("node")
    command = [NPM, "install", "--silent", "--no-audit", "--no-fund", PACKAGE]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        pytest.skip(f"npm cannot install {PACKAGE} here")
    (folder / "client.mjs").write_text(SCRIPT, encoding="utf-8")
    return folder


def test_it_pages_tracks_qualifies_and_batches(installed: Path) -> None:
    assert NODE is not None
    with running_sandbox("sample") as box:
        told = box.connect["dynamics"]
        settings = json.dumps({"url": told["url"], "token": told["access_token"]})
        environment = {**os.environ, "SANDBOX": settings, "NO_PROXY": "localhost,127.0.0.1"}
        done = subprocess.run(
            [NODE, "client.mjs"],
            cwd=installed,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        seen: dict[str, Any] = json.loads(done.stdout)
        leads = len(box.control.dump()["dynamics"]["lead"])
    assert (seen["row"]["jobtitle"], seen["row"]["statecode"]) == ("CEO", 0)
    assert seen["page"] == [3, True]
    assert seen["all"] == leads
    assert seen["delta"] == [leads, True]
    assert seen["qualified"] == [f"#Microsoft.Dynamics.CRM.{name}" for name in ("account", "contact", "opportunity")]
    assert seen["refused"] == [400, "0x80040519"]
    assert seen["batch"][2]["value"][0]["fullname"] == "C"
    assert seen["count"] == 1

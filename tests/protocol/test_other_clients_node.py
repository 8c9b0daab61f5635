"""jsforce and dynamics-web-api (npm) on the sandbox: token, paging, create, an error, convert and qualify.

Both are installed when the test runs; without node or npm it is skipped. Plain http, as their documentation allows.
"""

from pathlib import Path
from typing import Any

import pytest

from crmbridge.sandbox.server import running_sandbox
from tests.support import node

pytestmark = pytest.mark.node

JSFORCE = "jsforce@3.10.14"  # later ones want Node 22 (clients sheet)
DYNAMICS_WEB_API = "dynamics-web-api@2.5.0"

SALESFORCE = """
import jsforce from "jsforce";
const given = JSON.parse(process.env.SANDBOX).salesforce;
const seen = {};
const soap = new jsforce.Connection({ loginUrl: given.url });
const user = await soap.login(given.username, given.password + given.security_token);
const oauth2 = { loginUrl: given.url, clientId: given.client_id, clientSecret: given.client_secret };
const conn = new jsforce.Connection({ oauth2 });
const same = await conn.login(given.username, given.password + given.security_token);
seen.user = same.id === user.id;
seen.identity = (await conn.identity()).username === given.username;
const rows = Array.from({ length: 2300 }, (_, i) => ({ LastName: "J" + i, Company: "Script" }));
const made = await conn.sobject("Lead").create(rows, { allowRecursive: true });
seen.created = made.filter((each) => each.success).length;
const soql = "SELECT Id FROM Lead WHERE Company = 'Script'";
const page = await conn.query(soql, { autoFetch: false });
seen.page = [page.totalSize, page.done, page.records.length];
const more = await conn.queryMore(page.nextRecordsUrl);
seen.more = [more.done, more.records.length];
const small = { autoFetch: true, maxFetch: 5000, headers: { "Sforce-Query-Options": "batchSize=500" } };
seen.all = new Set((await conn.query(soql, small)).records.map((each) => each.Id)).size;
const code = (error) => error.errorCode;
seen.error = await conn.sobject("Lead").create({ Company: "x" }).then(() => null, code);
seen.missing = await conn.sobject("Lead").retrieve("00Q000000000000AAA").then(() => null, code);
const keyed = { LastName: "K", Company: "b", CrmBridge_Id__c: "js/1" };
seen.upserted = (await conn.sobject("Lead").upsert(keyed, "CrmBridge_Id__c")).created;
const ask = { leadId: made[0].id, convertedStatus: "Closed - Converted", opportunityName: "Deal" };
const done = await conn.soap.convertLead(ask);
seen.deal = (await conn.sobject("Opportunity").retrieve(done.opportunityId)).Name;
seen.converted = (await conn.sobject("Lead").retrieve(made[0].id)).IsConverted;
seen.again = (await conn.soap.convertLead(ask)).errors[0].statusCode;
console.log(JSON.stringify(seen));
"""

DYNAMICS = """
import { DynamicsWebApi } from "dynamics-web-api";
const given = JSON.parse(process.env.SANDBOX).dynamics;
const seen = {};
const onTokenRefresh = async () => {
  const form = new URLSearchParams({
    grant_type: "client_credentials", client_id: given.client_id, client_secret: given.client_secret,
    scope: given.url + "/.default",
  });
  const answer = await fetch(given.authority + "/oauth2/v2.0/token", { method: "POST", body: form });
  return (await answer.json()).access_token;
};
const options = { dataApi: { version: "9.2" }, useEntityNames: true };
const api = new DynamicsWebApi({ serverUrl: given.url, onTokenRefresh, ...options });
seen.user = Boolean((await api.callFunction({ name: "WhoAmI" })).UserId);
const leads = Array.from({ length: 120 }, (_, i) => ({ subject: "S", lastname: "N" + i, companyname: "Nodes" }));
api.startBatch();
for (const data of leads) api.create({ collection: "leads", data });
await api.executeBatch();
const fifty = { collection: "leads", select: ["lastname"], filter: "companyname eq 'Nodes'", maxPageSize: 50 };
const page = await api.retrieveMultiple(fifty);
seen.page = [page.value.length, Boolean(page.oDataNextLink)];
seen.all = new Set((await api.retrieveAll(fifty)).value.map((each) => each.leadid)).size;
const key = await api.create({ collection: "leads", data: { subject: "S", lastname: "Node", companyname: "One" } });
seen.row = (await api.retrieve({ collection: "leads", key, select: ["subject", "statecode"] })).statecode;
const told = (error) => [error.status, error.code];
const wrong = { collection: "leads", data: { lastname: "x", leadsourcecode: 4711 } };
seen.error = await api.create(wrong).then(() => null, told);
const action = { CreateAccount: true, CreateContact: true, CreateOpportunity: true, Status: 3 };
const qualify = { collection: "leads", key, actionName: "Microsoft.Dynamics.CRM.QualifyLead", action };
seen.qualified = (await api.callAction(qualify)).value.map((each) => each["@odata.type"]);
seen.state = (await api.retrieve({ collection: "leads", key, select: ["statecode"] })).statecode;
seen.again = await api.callAction(qualify).then(() => null, told);
console.log(JSON.stringify(seen));
"""


def test_jsforce(tmp_path: Path) -> None:
    script = node.install(tmp_path, JSFORCE, SALESFORCE)
    with running_sandbox("empty") as box:
        seen: dict[str, Any] = node.run(script, box.connect)
    assert seen == {
        "user": True,
        "identity": True,
        "created": 2300,
        "page": [2300, False, 2000],
        "more": [True, 300],
        "all": 2300,
        "error": "REQUIRED_FIELD_MISSING",
        "missing": "NOT_FOUND",
        "upserted": True,
        "deal": "Deal",
        "converted": True,
        "again": "CANNOT_UPDATE_CONVERTED_LEAD",
    }


def test_dynamics_web_api(tmp_path: Path) -> None:
    script = node.install(tmp_path, DYNAMICS_WEB_API, DYNAMICS)
    with running_sandbox("empty") as box:
        seen: dict[str, Any] = node.run(script, box.connect)
    assert seen == {
        "user": True,
        "page": [50, True],
        "all": 120,
        "row": 0,
        "error": seen["error"],
        "qualified": [f"#Microsoft.Dynamics.CRM.{name}" for name in ("account", "contact", "opportunity")],
        "state": 1,
        "again": [400, "0x80040519"],
    }
    assert seen["error"][0] == 400

// jsforce's bulk2 (Bulk 2.0) and bulk (Bulk 1.0) in depth, over plain http.
"use strict";
const jsforce = require("jsforce");
const { sandbox } = require("./steps.cjs");

const given = sandbox.salesforce;

async function main() {
  const conn = new jsforce.Connection({ instanceUrl: given.url, accessToken: given.access_token, version: "60.0" });
  const quick = { pollInterval: 20, pollTimeout: 20000 };
  Object.assign(conn.bulk2, quick); Object.assign(conn.bulk, quick);
  const seen = {};
  const input = Array.from({ length: 500 }, (_, i) => (
    { LastName: "J" + i, Company: i % 100 ? "Script" : null, CrmBridge_Id__c: "js" + i }));
  const loaded = await conn.bulk2.loadAndWaitForResults({ object: "Lead", operation: "insert", input, ...quick });
  seen.loaded = [loaded.successfulResults, loaded.failedResults, loaded.unprocessedRecords].map((each) => each.length);
  seen.error = loaded.failedResults[0].sf__Error;
  const soql = "SELECT Id, LastName, Owner.Username FROM Lead WHERE Company = 'Script'";
  const found = await (await conn.bulk2.query(soql, quick)).toArray();
  seen.found = [found.length, Object.keys(found[0])];
  const some = found.slice(0, 3).map(({ Id }) => ({ Id, City: "Rome" }));
  const changed = await conn.bulk2.loadAndWaitForResults({ object: "Lead", operation: "update", input: some, ...quick });
  seen.changed = changed.successfulResults.length;
  const keyed = [{ CrmBridge_Id__c: "js1", LastName: "M", Company: "C" },
    { CrmBridge_Id__c: "new", LastName: "N", Company: "C" }];
  const upsert = { object: "Lead", operation: "upsert", externalIdFieldName: "CrmBridge_Id__c", input: keyed, ...quick };
  seen.upserted = (await conn.bulk2.loadAndWaitForResults(upsert)).successfulResults.map((each) => each.sf__Created);
  seen.bad = await conn.bulk2.query("SELECT Foo FROM Lead", quick).then(() => null, (error) => error.errorCode);
  const wrong = { object: "Lead", operation: "insert", input: [{ Foo: "x" }], ...quick };
  seen.wrong = await conn.bulk2.loadAndWaitForResults(wrong).then(() => null, (error) => error.message);
  const none = { object: "Account", operation: "delete", input: [], ...quick };
  seen.none = Object.values(await conn.bulk2.loadAndWaitForResults(none)).map((each) => each.length);
  seen.noneInOne = await conn.bulk.load("Account", "insert", []).then(() => null, (error) => error.name);
  const many = { bulkThreshold: 0, bulkApiVersion: 2 };
  const script = conn.sobject("Lead").find({ Company: "Script" });
  const renamed = await script.update({ LastName: "${LastName} (2)", City: null }, many);
  seen.all = renamed.filter((each) => each.success).length;
  seen.swept = (await conn.sobject("Lead").find({ Company: "Script" }).destroy(many)).length;
  seen.left = await conn.sobject("Lead").find({ Company: "Script" }).destroy(many);
  const job = conn.bulk2.createJob({ object: "Lead", operation: "insert" });
  await job.open();
  await job.abort();
  seen.aborted = (await job.check()).state;
  await job.delete();
  const made = await conn.bulk.load("Contact", "insert", [{ LastName: "A" }, { LastName: "B", Email: "x" }]);
  seen.made = made.map((each) => [each.success, each.errors.length]);
  const records = await (await conn.bulk.query("SELECT Id, LastName FROM Contact")).toArray();
  seen.records = records.map((each) => each.LastName).sort();
  const gone = await conn.bulk.load("Contact", "delete", records.map(({ Id }) => ({ Id })));
  seen.gone = gone.map((each) => each.success);
  const text = (error) => error.message.split(":").slice(0, 3).join(":");
  seen.badBatch = await conn.bulk.load("Contact", "insert", [{ Foo: "x" }]).then(() => null, text);
  seen.badQuery = await conn.bulk.query("SELECT Foo FROM Contact").then(() => null, text);
  const stranger = new jsforce.Connection({ instanceUrl: given.url, accessToken: "00D!x", version: "60.0" });
  seen.session = await stranger.bulk.createJob("Lead", "insert").open().then(() => null, (error) => error.errorCode);
  console.log(JSON.stringify(seen));
}

main();

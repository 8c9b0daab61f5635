// jsforce over plain http, as its documentation allows: each thing it offers, once.
"use strict";
const jsforce = require("jsforce");
const { sandbox, run, refused } = require("./steps.cjs");

const given = sandbox.salesforce;
const password = given.password + given.security_token;
const oauth2 = { loginUrl: given.url, clientId: given.client_id, clientSecret: given.client_secret };
const code = (error) => error.errorCode;
const SOQL = "SELECT Id, LastName FROM Lead WHERE Company = 'Script'";
let conn;
let ids;

const start = new Date(Date.now() - 3600e3).toISOString();
const wait = { pollInterval: 200, pollTimeout: 60000 };

run({
  async login() {
    const soap = new jsforce.Connection({ loginUrl: given.url });
    const one = await soap.login(given.username, password);
    conn = new jsforce.Connection({ oauth2 });
    const two = await conn.login(given.username, password);
    const who = await conn.identity();
    const refreshing = new jsforce.Connection({
      oauth2, instanceUrl: given.url, accessToken: "00D!over", refreshToken: given.refresh_token,
    });
    const again = await refreshing.query("SELECT Id FROM User LIMIT 1");
    const wrong = await refused(new jsforce.Connection({ loginUrl: given.url }).login(given.username, "guess"),
      (error) => error.message);
    return { same: one.id === two.id, username: who.username, refreshed: again.totalSize, wrong };
  },
  async create() {
    const one = await conn.sobject("Lead").create({ LastName: "Single", Company: "One" });
    return { success: one.success, id: one.id };
  },
  async batch() {
    const rows = Array.from({ length: 2300 }, (_, i) => ({ LastName: `J${i}`, Company: "Script" }));
    const made = await conn.sobject("Lead").create(rows, { allowRecursive: true });
    ids = made.map((each) => each.id);
    const changed = await conn.sobject("Lead").update(
      ids.slice(0, 201).map((Id) => ({ Id, Title: "Chief" })), { allowRecursive: true });
    const some = await conn.sobject("Lead").retrieve(ids.slice(0, 3));
    const gone = await conn.sobject("Lead").destroy(ids.slice(2290), { allowRecursive: true });
    const count = (results) => results.filter((each) => each.success).length;
    return { created: count(made), updated: count(changed), titles: some.map((each) => each.Title), deleted: count(gone) };
  },
  async read() {
    const page = await conn.query(SOQL, { autoFetch: false });
    const more = await conn.queryMore(page.nextRecordsUrl);
    const small = { autoFetch: true, maxFetch: 5000, headers: { "Sforce-Query-Options": "batchSize=500" } };
    const all = await conn.query(SOQL, small);
    const found = await conn.sobject("Lead").find({ Company: "Script", LastName: "J7" }, ["Id", "Owner.Name"]);
    const described = await conn.sobject("Lead").describe();
    return {
      page: [page.totalSize, page.done, page.records.length], more: [more.done, more.records.length],
      all: new Set(all.records.map((each) => each.Id)).size, found: found.length, described: described.fields.length > 20,
    };
  },
  async update() {
    const result = await conn.sobject("Lead").update({ Id: ids[0], Phone: "+47 22 00 00 00" });
    return { success: result.success, phone: (await conn.sobject("Lead").retrieve(ids[0])).Phone };
  },
  async upsert() {
    const row = { LastName: "K", Company: "b", CrmBridge_Id__c: "js/1" };
    const one = await conn.sobject("Lead").upsert(row, "CrmBridge_Id__c");
    const two = await conn.sobject("Lead").upsert({ ...row, LastName: "L" }, "CrmBridge_Id__c");
    const rows = [1, 2, 3].map((i) => ({ LastName: `M${i}`, Company: "b", CrmBridge_Id__c: `js/${i}` }));
    const many = await conn.sobject("Lead").upsert(rows, "CrmBridge_Id__c");
    return { created: [one.created, two.created, ...many.map((each) => each.created)], same: one.id === two.id };
  },
  async remove() {
    const one = await conn.sobject("Lead").create({ LastName: "Gone", Company: "One" });
    const result = await conn.sobject("Lead").destroy(one.id);
    return { success: result.success, id: one.id };
  },
  async error() {
    return {
      missing: await refused(conn.sobject("Lead").create({ Company: "x" }), code),
      unknown: await refused(conn.sobject("Lead").retrieve("00Q000000000000AAA"), code),
      query: await refused(conn.query("SELECT Nothing FROM Lead"), (error) => [error.errorCode, error.message]),
      stranger: await refused(new jsforce.Connection({ instanceUrl: given.url, accessToken: "00D!x" }).query(SOQL), code),
    };
  },
  async changes() {
    const end = new Date(Date.now() + 3600e3).toISOString();
    const updated = await conn.sobject("Lead").updated(start, end);
    const deleted = await conn.sobject("Lead").deleted(start, end);
    return {
      updated: updated.ids.includes(ids[0]), covered: Boolean(updated.latestDateCovered),
      deleted: deleted.deletedRecords.length,
    };
  },
  async bulk() {
    conn.bulk2.pollInterval = wait.pollInterval;
    conn.bulk2.pollTimeout = wait.pollTimeout;
    const input = Array.from({ length: 50 }, (_, i) => ({ LastName: `B${i}`, Company: "Bulky" }));
    input.push({ LastName: "", Company: "Bulky" });
    const results = await conn.bulk2.loadAndWaitForResults({ object: "Lead", operation: "insert", input, ...wait });
    const stream = await conn.bulk2.query("SELECT Id, LastName FROM Lead WHERE Company = 'Bulky'", wait);
    const rows = await stream.toArray();
    const changed = await conn.bulk2.loadAndWaitForResults({
      object: "Lead", operation: "update", input: rows.map((row) => ({ Id: row.Id, Title: "Bulk" })), ...wait,
    });
    return {
      good: results.successfulResults.length, bad: results.failedResults.map((each) => each.sf__Error),
      unprocessed: results.unprocessedRecords.length, read: rows.length, changed: changed.successfulResults.length,
    };
  },
  async convert() {
    const ask = { leadId: ids[1], convertedStatus: "Closed - Converted", opportunityName: "Deal" };
    const done = await conn.soap.convertLead(ask);
    const again = await conn.soap.convertLead(ask);
    return {
      deal: (await conn.sobject("Opportunity").retrieve(done.opportunityId)).Name,
      converted: (await conn.sobject("Lead").retrieve(ids[1])).IsConverted, again: again.errors[0].statusCode,
    };
  },
});

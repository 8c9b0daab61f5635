// Work drawn elsewhere, done by dynamics-web-api: a row a call and, every other step, one change set. Prints how many steps.
"use strict";
const { readFileSync } = require("node:fs");
const { DynamicsWebApi } = require("dynamics-web-api");
const { sandbox } = require("./steps.cjs");

const given = sandbox.dynamics;
const api = new DynamicsWebApi({
  serverUrl: given.url, onTokenRefresh: async () => given.access_token, dataApi: { version: "9.2" },
});
const SETS = { account: "accounts", contact: "contacts", lead: "leads", opportunity: "opportunities" };

function carryOut(verb, table, row) {
  const collection = SETS[table];
  const { [`${table}id`]: key, crmbridge_externalid: external, ...data } = row;
  if (verb === "create") return api.create({ collection, data: row });
  if (verb === "update") return api.update({ collection, key, data });
  if (verb === "upsert") return api.upsert({ collection, key: `crmbridge_externalid='${external}'`, data });
  return api.deleteRecord({ collection, key });
}

(async () => {
  const work = JSON.parse(readFileSync(process.argv[2], "utf-8"));
  for (const [number, [verb, table, rows]] of work.entries()) {
    if (number % 2) for (const row of rows) await carryOut(verb, table, row);
    else {
      api.startBatch();
      for (const row of rows) carryOut(verb, table, row);
      await api.executeBatch();
    }
  }
  console.log(JSON.stringify(work.length));
})();

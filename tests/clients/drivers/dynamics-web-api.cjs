// dynamics-web-api over plain http: each thing it offers, once. Tokens come from its callback, as its documentation has it.
"use strict";
const { DynamicsWebApi } = require("dynamics-web-api");
const { sandbox, run, refused } = require("./steps.cjs");

const given = sandbox.dynamics;
const told = (error) => [error.status, error.code, error.message];
const NODES = "companyname eq 'Nodes'";
let logins = 0;

async function onTokenRefresh() {
  logins += 1;
  const form = new URLSearchParams({
    grant_type: "client_credentials", client_id: given.client_id, client_secret: given.client_secret,
    scope: `${given.url}/.default`,
  });
  const answer = await fetch(`${given.authority}/oauth2/v2.0/token`, { method: "POST", body: form });
  return (await answer.json()).access_token;
}

const options = { dataApi: { version: "9.2" }, useEntityNames: true };
const api = new DynamicsWebApi({ serverUrl: given.url, onTokenRefresh, ...options });
const lead = (name, more) => ({ subject: "S", lastname: name, companyname: "One", ...more });

run({
  async login() {
    const me = await api.callFunction({ name: "WhoAmI" });
    const wrong = new DynamicsWebApi({ serverUrl: given.url, onTokenRefresh: async () => "guess", ...options });
    return { user: Boolean(me.UserId), logins: logins > 0, wrong: (await refused(wrong.callFunction({ name: "WhoAmI" }), told))[0] };
  },
  async create() {
    const key = await api.create({ collection: "leads", data: lead("Key") });
    const row = await api.create({ collection: "leads", data: lead("Row"), returnRepresentation: true, select: ["lastname", "statecode"] });
    const deep = await api.create({ collection: "accounts", data: { name: "Deep", contact_customer_accounts: [{ lastname: "Within" }] } });
    return { key, row: [row.lastname, row.statecode], deep };
  },
  async bulk() {
    const type = "Microsoft.Dynamics.CRM.lead";
    const targets = (names, more) => names.map((name, i) => ({ "@odata.type": type, ...lead(name), companyname: "Nodes", ...more(i) }));
    const names = Array.from({ length: 300 }, (_, i) => `N${i}`);
    const call = (name, Targets) => api.callAction({ collection: "leads", actionName: `Microsoft.Dynamics.CRM.${name}`, action: { Targets } });
    const upsert = async (name) => (await call("UpsertMultiple", [
      { "@odata.type": type, "@odata.id": "leads(crmbridge_externalid='dwa-many')", ...lead(name) },
    ]));
    const made = await call("CreateMultiple", targets(names, () => ({})));
    await call("UpdateMultiple", made.Ids.slice(0, 5).map((leadid) => ({ "@odata.type": type, leadid, jobtitle: "Many" })));
    const upserted = [await upsert("Up"), await upsert("Upper")];
    const rows = await api.retrieveMultiple({ collection: "leads", select: ["lastname"], filter: "crmbridge_externalid eq 'dwa-many'" });
    return { made: made.Ids.length, upserted: [rows.value.length === 1 && rows.value[0].lastname === "Upper", upserted.some(Boolean)] };
  },
  async batch() {
    api.startBatch();
    for (let i = 0; i < 20; i += 1) api.create({ collection: "leads", data: lead(`P${i}`, { companyname: "Parts" }) });
    const made = await api.executeBatch();
    api.startBatch();
    api.create({ collection: "contacts", data: { lastname: "Ref" }, contentId: "1" });
    api.create({ collection: "accounts", data: { name: "Ref", "primarycontactid@odata.bind": "$1" } });
    const linked = await api.executeBatch();
    api.startBatch();
    api.retrieveMultiple({ collection: "leads", select: ["lastname"], filter: "companyname eq 'Parts'" });
    api.callFunction({ name: "WhoAmI" });
    const [read, me] = await api.executeBatch();
    api.startBatch();
    api.create({ collection: "leads", data: lead("Undone") });
    api.create({ collection: "leads", data: lead("Undone", { leadsourcecode: 4711 }) });
    const undone = await refused(api.executeBatch(), (errors) => [].concat(errors).length > 0);
    return { made: made.length, linked, read: read.value.length, me: Boolean(me.UserId), undone };
  },
  async read() {
    const fifty = { collection: "leads", select: ["lastname"], filter: NODES, maxPageSize: 50, count: true };
    const page = await api.retrieveMultiple(fifty);
    const next = await api.retrieveMultiple(fifty, page.oDataNextLink);
    const all = await api.retrieveAll(fifty);
    const one = await api.retrieve({
      collection: "leads", key: all.value[0].leadid, select: ["lastname", "leadsourcecode", "_ownerid_value"],
      expand: [{ property: "owninguser", select: ["fullname"] }], includeAnnotations: "*",
    });
    const counted = [await api.countAll({ collection: "leads", filter: NODES }), await api.count({ collection: "leads", filter: NODES })];
    return {
      page: [page.oDataCount, page.value.length, Boolean(page.oDataNextLink)], next: next.value.length,
      all: new Set(all.value.map((each) => each.leadid)).size, owner: Boolean(one.owninguser.fullname), counted,
      annotated: Boolean(one["_ownerid_value@OData.Community.Display.V1.FormattedValue"]),
    };
  },
  async fetch() {
    const xml = (count) => `<fetch count="${count}"><entity name="lead"><attribute name="lastname"/>`
      + '<filter><condition attribute="companyname" operator="eq" value="Nodes"/></filter></entity></fetch>';
    const fetched = await api.fetch({ collection: "leads", fetchXml: xml(5000), pageNumber: 1 });
    const pages = [];
    let page = { PagingInfo: { nextPage: 1 } };
    while (page.PagingInfo) {
      page = await api.fetch({
        collection: "leads", includeAnnotations: "*", fetchXml: xml(100), pageNumber: page.PagingInfo.nextPage, pagingCookie: page.PagingInfo.cookie,
      });
      pages.push(page.value.length);
    }
    return { fetched: fetched.value.length, pages };
  },
  async metadata() {
    const entity = await api.retrieveEntity({ key: "LogicalName='lead'", select: ["EntitySetName", "ObjectTypeCode"] });
    const attributes = await api.retrieveAttributes({
      entityKey: "LogicalName='lead'", castType: "Microsoft.Dynamics.CRM.PicklistAttributeMetadata", select: ["LogicalName"],
      expand: [{ property: "OptionSet", select: ["Options"] }],
    });
    const relationships = await api.retrieveRelationships({
      castType: "Microsoft.Dynamics.CRM.OneToManyRelationshipMetadata", select: ["SchemaName", "ReferencingEntity"],
      filter: "ReferencingEntity eq 'lead'",
    });
    const sets = await api.retrieveGlobalOptionSets({ select: ["Name"] });
    const one = await api.retrieveGlobalOptionSet({
      key: "Name='budgetstatus'", castType: "Microsoft.Dynamics.CRM.OptionSetMetadata", select: ["Options"],
    });
    const csdl = await api.retrieveCsdlMetadata();
    return {
      entity: [entity.EntitySetName, entity.ObjectTypeCode], relationships: relationships.value.length > 3,
      options: attributes.value.find((each) => each.LogicalName === "leadsourcecode").OptionSet.Options.length > 3,
      optionSets: sets.value.some((each) => each.Name === "budgetstatus"), optionSet: one.Options.length === 4,
      csdl: csdl.includes('EntityType Name="lead"'),
    };
  },
  async update() {
    const key = await api.create({ collection: "leads", data: lead("Old") });
    await api.update({ collection: "leads", key, data: { lastname: "New" } });
    await api.updateSingleProperty({ collection: "leads", key, fieldValuePair: { jobtitle: "Chief" } });
    const row = await api.retrieve({ collection: "leads", key, select: ["lastname", "jobtitle"] });
    const stale = await refused(
      api.update({ collection: "leads", key, data: { lastname: "Late" }, ifmatch: 'W/"1"' }).then((done) => {
        if (done === false) { const error = new Error("precondition"); error.status = 412; throw error; }
        return done;
      }), (error) => error.status);
    const unchanged = await api.retrieve({ collection: "leads", key, select: ["lastname"], ifnonematch: row["@odata.etag"] })
      .catch((error) => error.status);
    return { row: [row.lastname, row.jobtitle], stale, unchanged: !unchanged || unchanged === 304 };
  },
  async upsert() {
    const KEY = "crmbridge_externalid='dwa-1'";
    const one = await api.upsert({ collection: "leads", key: KEY, data: lead("K"), returnRepresentation: true, select: ["lastname"] });
    const two = await api.upsert({ collection: "leads", key: KEY, data: lead("L"), returnRepresentation: true, select: ["lastname"] });
    const kept = await api.upsert({ collection: "leads", key: KEY, data: lead("M"), ifnonematch: "*" });
    return { names: [one.lastname, two.lastname], same: one.leadid === two.leadid, kept };
  },
  async remove() {
    const key = await api.create({ collection: "leads", data: lead("Gone") });
    await api.deleteRecord({ collection: "leads", key });
    const account = await api.create({ collection: "accounts", data: { name: "Parent" } });
    const contact = await api.create({ collection: "contacts", data: { lastname: "Child" } });
    await api.associate({ collection: "accounts", primaryKey: account, relationshipName: "contact_customer_accounts", relatedCollection: "contacts", relatedKey: contact });
    const linked = (await api.retrieve({ collection: "contacts", key: contact, select: ["_parentcustomerid_value"] }))._parentcustomerid_value;
    await api.disassociateSingleValued({ collection: "contacts", primaryKey: contact, navigationProperty: "parentcustomerid_account" });
    const free = (await api.retrieve({ collection: "contacts", key: contact, select: ["_parentcustomerid_value"] }))._parentcustomerid_value;
    return { key, linked: linked === account, free };
  },
  async error() {
    const stranger = "00000000-0000-0000-0000-00000000dead";
    return {
      value: await refused(api.create({ collection: "leads", data: lead("x", { leadsourcecode: 4711 }) }), told),
      missing: await refused(api.retrieve({ collection: "leads", key: stranger, select: ["subject"] }), told),
      column: await refused(api.retrieveMultiple({ collection: "leads", select: ["nothing"] }), told),
    };
  },
  async changes() {
    const track = { collection: "contacts", select: ["lastname"], trackChanges: true };
    const first = await api.retrieveMultiple(track);
    const key = await api.create({ collection: "contacts", data: { lastname: "Fresh" } });
    const gone = await api.create({ collection: "contacts", data: { lastname: "Short" } });
    await api.deleteRecord({ collection: "contacts", key: gone });
    const delta = await api.retrieveMultiple({ collection: "contacts" }, first.oDataDeltaLink);
    return {
      first: Boolean(first.oDataDeltaLink), fresh: delta.value.some((each) => each.contactid === key),
      deleted: delta.value.filter((each) => each.reason === "deleted").map((each) => each.id === gone),
      again: Boolean(delta.oDataDeltaLink),
    };
  },
  async convert() {
    const key = await api.create({ collection: "leads", data: lead("Deal") });
    const action = { CreateAccount: true, CreateContact: true, CreateOpportunity: true, Status: 3 };
    const qualify = { collection: "leads", key, actionName: "Microsoft.Dynamics.CRM.QualifyLead", action };
    const made = (await api.callAction(qualify)).value;
    const again = await refused(api.callAction(qualify), told);
    const { opportunityid } = made.find((each) => each.opportunityid);
    const close = (subject) => ({
      subject, "@odata.type": "Microsoft.Dynamics.CRM.opportunityclose", "opportunityid@odata.bind": `opportunities(${opportunityid})`,
    });
    await api.callAction({ actionName: "WinOpportunity", action: { Status: 3, OpportunityClose: close("Won") } });
    const won = await api.retrieve({ collection: "opportunities", key: opportunityid, select: ["statecode", "statuscode"] });
    await api.update({ collection: "opportunities", key: opportunityid, data: { statecode: 0, statuscode: 1 } });
    await api.callAction({ actionName: "LoseOpportunity", action: { Status: 4, OpportunityClose: close("Lost") } });
    const lost = await api.retrieve({ collection: "opportunities", key: opportunityid, select: ["statecode"] });
    return {
      types: made.map((each) => each["@odata.type"]), again: again.slice(0, 2), won: [won.statecode, won.statuscode],
      lost: lost.statecode, lead: (await api.retrieve({ collection: "leads", key, select: ["statecode"] })).statecode,
    };
  },
});

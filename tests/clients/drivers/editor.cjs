// A mapping in an editor: the language server that VS Code's YAML extension runs, spoken to as an editor does; and the
// schemas held to the strict rules of the validator that public schemas are tested with.
const { spawn } = require("child_process");
const fs = require("fs");
const path = require("path");
const [folder] = process.argv.slice(2);
const modules = process.env.NODE_PATH;

function server() {
  const main = require(path.join(modules, "yaml-language-server", "package.json")).bin["yaml-language-server"];
  const child = spawn(process.execPath, [path.join(modules, "yaml-language-server", main), "--stdio"], { stdio: ["pipe", "pipe", "inherit"] });
  const waiting = new Map(), told = [];
  let buffer = Buffer.alloc(0), number = 0;
  child.stdout.on("data", (chunk) => {
    buffer = Buffer.concat([buffer, chunk]);
    for (;;) {
      const end = buffer.indexOf("\r\n\r\n");
      if (end < 0) return;
      const length = Number(/Content-Length: (\d+)/i.exec(buffer.subarray(0, end).toString())[1]);
      if (buffer.length < end + 4 + length) return;
      const message = JSON.parse(buffer.subarray(end + 4, end + 4 + length).toString());
      buffer = buffer.subarray(end + 4 + length);
      if (message.method === undefined) waiting.get(message.id)?.(message);
      else if (message.id !== undefined) answer(message);
      else told.push(message);
    }
  });
  function send(message) {
    const body = Buffer.from(JSON.stringify({ jsonrpc: "2.0", ...message }));
    child.stdin.write(`Content-Length: ${body.length}\r\n\r\n`);
    child.stdin.write(body);
  }
  function answer(message) {
    const items = message.method === "workspace/configuration" ? message.params.items.map((one) => settings[one.section] ?? null) : null;
    send({ id: message.id, result: items });
  }
  const settings = { yaml: { completion: true, hover: true, validate: true, schemaStore: { enable: false } }, "http": {}, "[yaml]": {} };
  return {
    told,
    notify: (method, params) => send({ method, params }),
    ask: (method, params) => new Promise((done) => { const id = ++number; waiting.set(id, (m) => done(m.result ?? m.error)); send({ id, method, params }); }),
    end: () => child.kill(),
  };
}

async function main() {
  const found = {};
  const one = server();
  await one.ask("initialize", { processId: process.pid, rootUri: `file://${folder}`, capabilities: { workspace: { configuration: true }, textDocument: { hover: {}, completion: { completionItem: { snippetSupport: false } } } } });
  one.notify("initialized", {});
  const lines = fs.readFileSync(path.join(folder, "mappings", "lead.yaml"), "utf8").split("\n");
  let uri = `file://${path.join(folder, "mappings", "lead.yaml")}`;
  const versions = {};
  const open = (text) => {
    const version = (versions[uri] = (versions[uri] ?? 0) + 1);
    if (version === 1) one.notify("textDocument/didOpen", { textDocument: { uri, languageId: "yaml", version, text } });
    else one.notify("textDocument/didChange", { textDocument: { uri, version }, contentChanges: [{ text }] });
  };
  const diagnostics = async () => {
    for (let n = 0; n < 200; n += 1) {
      const last = one.told.filter((m) => m.method === "textDocument/publishDiagnostics").pop();
      if (last && n > 5) return last.params.diagnostics.map((d) => `${d.range.start.line + 1}: ${d.message}`);
      await new Promise((done) => setTimeout(done, 50));
    }
    throw new Error("no diagnostics");
  };
  const at = (text) => { const line = lines.findIndex((l) => l.includes(text)); return { line, character: lines[line].indexOf(text) }; };
  const labels = async (text, position) => {
    open(text);
    const answer = await one.ask("textDocument/completion", { textDocument: { uri }, position });
    return (answer.items ?? answer).map((i) => i.label).sort();
  };
  open(lines.join("\n"));
  found.clean = await diagnostics();
  const place = at("convert: email");
  const hover = await one.ask("textDocument/hover", { textDocument: { uri }, position: { line: place.line, character: place.character + 2 } });
  found.hover = JSON.stringify(hover?.contents ?? "");
  const insert = (after, text) => { const line = lines.findIndex((l) => l.startsWith(after)); return { line: line + 1, text: [...lines.slice(0, line + 1), text, ...lines.slice(line + 1)].join("\n") }; };
  const kinds = insert("fields:", "  extra: {convert: }");
  found.kinds = await labels(kinds.text, { line: kinds.line, character: "  extra: {convert: ".length });
  const columns = insert("fields:", "  extra:\n    salesforce: ");
  found.columns = await labels(columns.text, { line: columns.line + 1, character: "    salesforce: ".length });
  const statuses = insert("status:", "  extra:\n    state: open\n    dynamics: ");
  found.statuses = await labels(statuses.text, { line: statuses.line + 2, character: "    dynamics: ".length });
  one.told.length = 0;
  open(lines.join("\n").replace("convert: email", "convert: emial").replace("salesforce: LastName", "salesforce: LastNam"));
  found.broken = await diagnostics();
  // The settings, where the same is done for what is chosen about the life cycle.
  const settings = fs.readFileSync(path.join(folder, "crmbridge.yaml"), "utf8").replace(/^lifecycle:$/m, "#");
  uri = `file://${path.join(folder, "crmbridge.yaml")}`;
  const chosen = (text) => `${settings}\nlifecycle:\n  convert:\n    ${text}`;
  const last = (text) => ({ line: text.split("\n").length - 1, character: text.split("\n").pop().length });
  found.choices = await labels(chosen("contact_only: "), last(chosen("contact_only: ")));
  found.options = await labels(chosen(""), last(chosen("")));
  const explained = async (text, before) => {
    open(text);
    const spot = { line: text.split("\n").length - 1, character: text.split("\n").pop().length - before };
    return JSON.stringify((await one.ask("textDocument/hover", { textDocument: { uri }, position: spot }))?.contents ?? "");
  };
  found.mirror = await explained(chosen("mirror: never"), "mirror: never".length - 2);
  found.creates = await explained(`${settings}\nguard:\n  creates: 5`, "creates: 5".length - 2);
  one.told.length = 0;
  open(`${settings}\nschedules:\n  opportunity: {cron: "*/10 6-20 * * mon-fri Europe/Berlin"}\n  account: {every: 1 hour, hours: mon-fri 7:00-20:00 Europe/Berlin}\n`);
  found.schedules = await diagnostics();
  one.told.length = 0;
  open(chosen("mirror: nevr\n"));
  found.nevr = await diagnostics();
  one.told.length = 0;
  open(chosen("mirror: never\n"));
  found.never = await diagnostics();
  one.end();
  // The strict mode forbids keywords that say nothing, and types that cannot be.
  const Ajv = require("ajv/dist/2020").default;
  found.schemas = {};
  for (const file of fs.readdirSync(folder).filter((name) => name.endsWith(".schema.json"))) {
    const ajv = new Ajv({ strict: true, allowUnionTypes: true, allErrors: true });
    ajv.addKeyword("markdownEnumDescriptions"); // an editor's own word
    try { ajv.compile(JSON.parse(fs.readFileSync(path.join(folder, file), "utf8"))); found.schemas[file] = "sound"; }
    catch (error) { found.schemas[file] = String(error.message); }
  }
  console.log(JSON.stringify(found));
}
main().catch((error) => { console.error(error); process.exit(1); });

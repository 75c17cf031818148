// Has OpenClaw resolve secrets through `clawkeep secretref`, by its own code and by its own command.
//
//   node check.mjs CLIENT CLAWKEEP
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [client, program] = process.argv.slice(2);
const openclaw = path.join(client, "node_modules/openclaw");
const { resolveSecretRefValues } = await import(pathToFileURL(path.join(openclaw, "dist/plugin-sdk/secret-ref-runtime.js")));

const home = fs.mkdtempSync(path.join(os.homedir(), "interop-"));
process.on("exit", () => fs.rmSync(home, { recursive: true, force: true }));
// Whatever of the client is run reaches nobody; an attempt is noted.
const attempts = path.join(home, "network");
const offline = { NODE_OPTIONS: process.env.NODE_OPTIONS, INTEROP_NETWORK_LOG: attempts };
process.env.INTEROP_NETWORK_LOG = attempts;
const env = { HOME: home, PATH: "/usr/bin:/bin", ...offline };
// The client wants a file of the user's own that no other may write, and no link.
const clawkeep = path.join(home, "clawkeep");
fs.copyFileSync(program, clawkeep);
fs.chmodSync(clawkeep, 0o755);

function run(words, input = "") {
  const ran = spawnSync(words[0], words.slice(1), { env, input, encoding: "utf8", timeout: 60_000 });
  assert.equal(ran.error, undefined);
  return ran;
}
function keep(words, input) {
  const ran = run([clawkeep, ...words], input);
  assert.equal(ran.status, 0, ran.stderr);
  return ran.stdout;
}
function check(name, holds) {
  holds = Promise.resolve().then(holds);
  return holds.then(
    () => console.log(`ok      ${name}`),
    (error) => { console.log(`FAILED  ${name}\n${error.stack}`); process.exitCode = 1; },
  );
}

const secret = "sk-test-openai-0123456789";
keep(["init", "--key", "keyfile"]);
// A login comes in by the store, which a vault without a gateway does not write by itself.
keep(["config", "set", "export", "file"]);
keep(["models", "auth", "paste-api-key", "--provider", "openai"], secret);
keep(["models", "auth", "paste-token", "--provider", "anthropic", "--expires-in", "300d"], "sk-test-anthropic-0123456789");
const end = Date.now() + 3_600_000;
const store = path.join(home, ".local/share/clawkeep/agents/main/agent/auth-profiles.json");
const stored = JSON.parse(fs.readFileSync(store, "utf8"));
stored.profiles["groq:login"] = { type: "oauth", provider: "groq", access: "sk-test-access", refresh: "sk-test-refresh", expires: end };
fs.writeFileSync(store, JSON.stringify(stored));

const provider = { source: "exec", command: clawkeep, args: ["secretref"], passEnv: ["HOME"] };
const config = { secrets: { providers: { clawkeep: provider } } };
const ref = (id) => ({ source: "exec", provider: "clawkeep", id });
const resolve = (...ids) => resolveSecretRefValues(ids.map(ref), { config, env });
const uses = () => JSON.parse(keep(["history", "--json", "--limit", "0", "--kind", "credential.used"])).events;

await check("ids of profiles and names of providers are resolved, in one run", async () => {
  const before = uses().length;
  const values = await resolve("openai:manual", "anthropic:manual", "openai");
  assert.deepEqual([...values], [
    ["exec:clawkeep:openai:manual", secret],
    ["exec:clawkeep:anthropic:manual", "sk-test-anthropic-0123456789"],
    ["exec:clawkeep:openai", secret],
  ]);
  const events = uses();
  assert.equal(events.length, before + 2);
  assert.ok(events.every((event) => event.detail.command === "secretref"));
});
await check("what is not there is NOT_FOUND to it", async () => {
  await assert.rejects(resolve("openai:none"), /failed for id "openai:none" \(NOT_FOUND\)/);
});
await check("a login is an error of its id", async () => {
  await assert.rejects(resolve("groq:login"), /failed for id "groq:login"/);
});
await check("a vault that cannot be opened is its provider's failure", async () => {
  const [id] = fs.readdirSync(path.join(home, ".config/clawkeep"));
  const key = path.join(home, ".config/clawkeep", id);
  fs.renameSync(key, `${key}.away`);
  try {
    await assert.rejects(resolve("openai:manual"), /exited with code 77/);
  } finally {
    fs.renameSync(`${key}.away`, key);
  }
});
await check("openclaw secrets audit finds every reference resolved, and no plain text", () => {
  fs.mkdirSync(path.join(home, ".openclaw"));
  const models = [{ id: "gpt-5", name: "gpt-5" }];
  const openai = { baseUrl: "https://api.openai.invalid/v1", models, apiKey: ref("openai:manual") };
  fs.writeFileSync(path.join(home, ".openclaw/openclaw.json"), JSON.stringify({ ...config, models: { providers: { openai } } }), { mode: 0o600 });
  const ran = run([process.execPath, path.join(openclaw, "openclaw.mjs"), "secrets", "audit", "--allow-exec", "--check", "--json"]);
  assert.equal(ran.status, 0, ran.stdout + ran.stderr);
  const report = JSON.parse(ran.stdout);
  assert.deepEqual([report.status, report.resolution.refsChecked, report.findings], ["clean", 1, []]);
});
await check("the record holds", () => keep(["audit", "verify"]));
await check("the client tried to reach nobody", () => assert.ok(!fs.existsSync(attempts), attempts));

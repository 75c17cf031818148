// Calls the client's own code, where its command line has no command for it. Usage: node client.mjs DIST TASK AGENT_DIR ARGS
//
//   failures ID      says `ready`, then for each line of input notes a rate limit of profile ID and says `done`
//   used ID          the same with a successful use
//   hold             takes the store's lock, says `held`, and on the next line of input marks the store and lets go
//   reach            tries to reach this machine's port 9 in two ways, which offline.cjs must refuse and note
//   try              takes the store's lock if it is free, says `free` or `held`
import { createRequire } from "node:module";
import { readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import path from "node:path";

const [dist, task, agentDir, ...args] = process.argv.slice(2);
const own = (name) => import(pathToFileURL(path.join(dist, "agents/auth-profiles", name)).href);
const lockfile = createRequire(path.join(dist, "entry.js"))("proper-lockfile");
const { AUTH_STORE_LOCK_OPTIONS } = await own("constants.js");
const store = path.join(agentDir, "auth-profiles.json");

async function eachLine(update) {
  console.log("ready");
  for await (const _ of createInterface({ input: process.stdin })) {
    await update();
    console.log("done");
  }
}

const tasks = {
  async reach() {
    await fetch("http://127.0.0.1:9/").catch(() => {});
    try {
      connect(9, "127.0.0.1").on("error", () => {});
    } catch {}
  },
  async failures(profileId) {
    const { markAuthProfileFailure } = await own("usage.js");
    const { ensureAuthProfileStore } = await own("store.js");
    await eachLine(async () => {
      const store = ensureAuthProfileStore(agentDir);
      await markAuthProfileFailure({ store, profileId, reason: "rate_limit", agentDir });
    });
  },
  async used(profileId) {
    const { markAuthProfileUsed } = await own("usage.js");
    const { ensureAuthProfileStore } = await own("store.js");
    await eachLine(() => markAuthProfileUsed({ store: ensureAuthProfileStore(agentDir), profileId, agentDir }));
  },
  async hold() {
    const release = await lockfile.lock(store, AUTH_STORE_LOCK_OPTIONS);
    console.log("held");
    await new Promise((resolve) => createInterface({ input: process.stdin }).once("line", resolve));
    const seen = JSON.parse(readFileSync(store, "utf8"));
    seen.usageStats = { ...seen.usageStats, "openai:key": { lastUsed: 1768000000000 } };
    writeFileSync(store, `${JSON.stringify(seen, null, 2)}\n`);
    await release();
    process.exit(0);
  },
  async try() {
    try {
      const release = await lockfile.lock(store, { ...AUTH_STORE_LOCK_OPTIONS, retries: 0 });
      await release();
      console.log("free");
    } catch (error) {
      console.log(error.code === "ELOCKED" ? "held" : `failed: ${error.message}`);
    }
  },
};
await tasks[task](...args);

// Holds a lock of an OpenClaw of the JSON era, by its own code: `node lock_holder.mjs PACKAGE FILE`.
// Prints "held", waits for a line, adds a profile to the store under the lock if the line is "write", releases, prints "free".
import fs from "node:fs";
import path from "node:path";
import readline from "node:readline";
import { pathToFileURL } from "node:url";

const [pack, file] = process.argv.slice(2);
const { acquireFileLock } = await import(pathToFileURL(path.join(pack, "dist/plugin-sdk/file-lock.js")));
// The client's own options for its store.
const retries = { retries: 10, factor: 2, minTimeout: 100, maxTimeout: 10_000, randomize: true };
const lock = await acquireFileLock(file, { retries, stale: 30_000 });
console.log("held");
for await (const line of readline.createInterface({ input: process.stdin })) {
  if (line === "write") {
    const store = JSON.parse(fs.readFileSync(file, "utf8"));
    store.profiles["groq:theirs"] = { type: "api_key", provider: "groq", key: "sk-test-theirs-0123456789abcdef" };
    fs.writeFileSync(file, JSON.stringify(store, null, 2));
  }
  break;
}
await lock.release();
console.log("free");
process.exit(0);

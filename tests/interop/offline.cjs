// Loaded before the client (`node --require`): it must touch no network. An attempt is noted in the file that
// INTEROP_NETWORK_LOG names, and fails.
const { appendFileSync } = require("node:fs");
const dns = require("node:dns");
const net = require("node:net");

function refuse(what) {
  appendFileSync(process.env.INTEROP_NETWORK_LOG, `${what}\n`);
  throw new Error(`no network here: ${what}`);
}

const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...args) {
  const [options] = Array.isArray(args[0]) ? args[0] : args;
  // A path is a socket or a pipe of this machine.
  if (typeof options === "object" && options.path) return connect.apply(this, args);
  return refuse(`connect ${JSON.stringify(options)}`);
};
globalThis.fetch = async (input) => refuse(`fetch ${String(input.url ?? input)}`);
dns.lookup = (name) => refuse(`lookup ${name}`);
dns.promises.lookup = async (name) => refuse(`lookup ${name}`);

// Loaded before OpenClaw (`node --require`): it may connect to this machine only. Every other attempt fails, and is noted in
// the file that INTEROP_NETWORK_LOG names.
const { appendFileSync } = require("node:fs");
const dgram = require("node:dgram");
const dns = require("node:dns");
const net = require("node:net");

const isLoopback = (host) => /^(localhost|127\.\d+\.\d+\.\d+|::1|\[::1\])$/.test(host);

function refusal(what) {
  appendFileSync(process.env.INTEROP_NETWORK_LOG, `${what}\n`);
  return Object.assign(new Error(`no network here: ${what}`), { code: "ECONNREFUSED" });
}

const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...args) {
  const [options] = Array.isArray(args[0]) ? args[0] : args;
  const host = typeof options === "object" ? options.host ?? "localhost" : typeof args[1] === "string" ? args[1] : "localhost";
  // A path is a socket or a pipe of this machine.
  if ((typeof options === "object" && options.path) || isLoopback(host)) return connect.apply(this, args);
  process.nextTick(() => this.destroy(refusal(`connect ${host}`)));
  return this;
};
const lookup = dns.lookup;
dns.lookup = (name, ...rest) => {
  if (isLoopback(name)) return lookup(name, ...rest);
  process.nextTick(() => rest.at(-1)(refusal(`lookup ${name}`)));
};
const lookupPromise = dns.promises.lookup;
dns.promises.lookup = async (name, ...rest) => {
  if (isLoopback(name)) return lookupPromise(name, ...rest);
  throw refusal(`lookup ${name}`);
};
const send = dgram.Socket.prototype.send;
dgram.Socket.prototype.send = function (...args) {
  const host = args.find((argument) => typeof argument === "string" && net.isIP(argument));
  if (host && isLoopback(host)) return send.apply(this, args);
  const error = refusal(`send ${host}`);
  if (typeof args.at(-1) === "function") process.nextTick(() => args.at(-1)(error));
};

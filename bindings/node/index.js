'use strict'
const native = require('./clawkeep.node')

/** Why a call failed. Nothing was handed out then. */
class ClawkeepError extends Error {
  constructor(kind, message) {
    super(message)
    this.name = 'ClawkeepError'
    this.kind = kind
  }
}

/** Waits for a call, and gives its error a kind. */
async function made(call) {
  try {
    return await call()
  } catch (error) {
    const [kind, message] = String(error.message).split('\u001f')
    throw message === undefined ? error : new ClawkeepError(kind, message)
  }
}

/** A credential whose use is in the audit record. Printing it shows no secret. */
class Token {
  #secret
  constructor({ secret, ...rest }) {
    this.#secret = secret
    Object.assign(this, rest)
  }

  get secret() {
    return this.#secret
  }
}

const terms = ({ minValid = 0, session, fallback } = {}) => {
  if (!(minValid >= 0 && minValid <= 1e9)) throw new ClawkeepError('bad_argument', 'minValid is a number of seconds')
  return { minValid: Math.round(minValid * 1000), session, fallback }
}

/** An open vault, and the agent whose credentials it hands out. */
class Client {
  #handle
  constructor(handle) {
    this.#handle = handle
  }

  static async open(actor, options) {
    return new Client(await made(() => native.open(actor, options)))
  }

  async token(provider, options) {
    return new Token(await made(() => this.#handle.token(provider, terms(options))))
  }

  async tokenFor(profile, options) {
    return new Token(await made(() => this.#handle.tokenFor(profile, terms(options))))
  }

  status() {
    return made(() => this.#handle.status())
  }

  sync() {
    return made(() => this.#handle.sync())
  }

  markUsed(profile) {
    return made(() => this.#handle.markUsed(profile))
  }

  markFailed(profile, reason) {
    return made(() => this.#handle.markFailed(profile, reason))
  }

  setOrder(provider, profiles) {
    return made(() => this.#handle.setOrder(provider, profiles))
  }

  history({ limit = 100, ...options } = {}) {
    return made(() => this.#handle.history({ ...options, limit: limit ?? undefined }))
  }

  verify() {
    return made(() => this.#handle.verify())
  }
}

module.exports = { Client, ClawkeepError }

export type Kind = 'api_key' | 'token' | 'oauth'
export type Reason = 'auth' | 'format' | 'rate_limit' | 'billing' | 'timeout' | 'unknown'

/** Why a call failed. Nothing was handed out then. */
export class ClawkeepError extends Error {
  /** For programs: "locked", "busy", "damaged", "newer", "read_only", "missing_key", "absent", "unknown_provider", and others. */
  readonly kind: string
}

/** A credential whose use is in the audit record. Printing it shows no secret. */
export interface Token {
  readonly secret: string
  readonly profile: string
  readonly provider: string
  readonly kind: Kind
  /** Milliseconds since 1970; absent if no expiry is known. */
  readonly expires?: number
}

export interface Status {
  readonly profile: string
  readonly provider: string
  readonly kind: Kind
  readonly state: string
  /** Milliseconds since 1970; absent if no expiry is known. */
  readonly expires?: number
  /** Until when it is not tried, after a failure; milliseconds since 1970. */
  readonly skippedUntil?: number
}

export interface Event {
  readonly seq: number
  /** Milliseconds since 1970. */
  readonly at: number
  readonly kind: string
  readonly outcome: string
  readonly origin: string
  readonly agent?: string
  readonly profile?: string
  readonly provider?: string
  readonly session?: string
  readonly program: string
  readonly parent?: string
  readonly pid: number
  readonly detail?: string
}

export interface ClientOptions {
  agent?: string
  stateDir?: string
  vault?: string
  passphrase?: string
  /** Whether to create the vault if there is none; true by default. */
  create?: boolean
}

export interface Terms {
  /** A login with less lifetime left, in seconds, is refreshed first. */
  minValid?: number
  session?: string
  fallback?: boolean
}

/** An open vault, and the agent whose credentials it hands out. Its calls leave Node's main thread free. */
export class Client {
  private constructor()
  static open(actor: string, options?: ClientOptions): Promise<Client>
  /** The next credential of a provider, refreshed if it is due, after its use is recorded. */
  token(provider: string, terms?: Terms): Promise<Token>
  tokenFor(profile: string, terms?: Terms): Promise<Token>
  status(): Promise<Status[]>
  /** Imports the logins of other programs. Whether anything changed. */
  sync(): Promise<boolean>
  markUsed(profile: string): Promise<void>
  markFailed(profile: string, reason: Reason): Promise<void>
  setOrder(provider: string, profiles: string[]): Promise<void>
  /** The newest events of the record, 100 by default. */
  history(options?: { profile?: string; provider?: string; limit?: number | null }): Promise<Event[]>
  /** Verifies the whole record; the number of events in it. */
  verify(): Promise<number>
}

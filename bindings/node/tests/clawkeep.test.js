'use strict'
// The binding against a vault of its own. `CLAWKEEP` names the program, which stores the credentials.
const assert = require('node:assert')
const { execFileSync, spawn, spawnSync } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { inspect } = require('node:util')
const { test, before, after } = require('node:test')

const KEY = 'sk-proj-made-up-0123456789'
const program = process.env.CLAWKEEP ?? 'clawkeep'
let home, client, Client

const run = (args, input = '') => execFileSync(program, ['-q', ...args], { input, stdio: ['pipe', 'pipe', 'pipe'] }).toString()

before(async () => {
  home = fs.mkdtempSync(path.join(os.tmpdir(), 'clawkeep-node-'))
  for (const name of Object.keys(process.env)) if (/^(CLAWKEEP_|CLAWDBOT_|XDG_|CLAUDE_|CODEX_|DBUS_)/.test(name)) delete process.env[name]
  process.env.HOME = home
  ;({ Client } = require('..'))
  client = await Client.open('test')
  run(['models', 'auth', 'paste-api-key', '--provider', 'openai'], KEY)
})
after(() => fs.rmSync(home, { recursive: true, force: true }))

const fails = (call, kind) => assert.rejects(call, (error) => error.kind === kind && !error.message.includes(KEY))

test('a token is handed out and recorded', async () => {
  const token = await client.token('openai')
  assert.deepStrictEqual([token.secret, token.profile, token.provider, token.kind, token.expires], [KEY, 'openai:manual', 'openai', 'api_key', undefined])
  assert.ok(!inspect(token).includes(KEY) && !JSON.stringify(token).includes(KEY))
  assert.strictEqual((await client.tokenFor('openai:manual', { session: 's1' })).secret, KEY)
  const [used] = await client.history({ profile: 'openai:manual', limit: 1 })
  assert.deepStrictEqual([used.kind, used.program, used.session, used.pid], ['credential.used', 'test', 's1', process.pid])
  assert.ok((await client.verify()) >= 4)
})

test('marks and order are obeyed', async () => {
  await client.markFailed('openai:manual', 'rate_limit')
  assert.ok((await client.status())[0].skippedUntil)
  await client.markUsed('openai:manual')
  assert.strictEqual((await client.status())[0].skippedUntil, undefined)
  await client.setOrder('openai', ['openai:manual'])
  assert.match(run(['models', 'auth', 'order', 'get', '--provider', 'openai']), /openai:manual/)
  assert.strictEqual(typeof (await client.sync()), 'boolean')
})

test('many calls at once each get the secret, and the main thread stays free', async () => {
  let ticks = 0
  const timer = setInterval(() => ticks++, 1)
  const tokens = await Promise.all(Array.from({ length: 16 }, () => client.token('openai')))
  clearInterval(timer)
  assert.ok(tokens.every((token) => token.secret === KEY) && ticks > 0)
})

test('each bad vault has a kind', async () => {
  const newer = path.join(home, 'newer.db')
  fs.copyFileSync(path.join(__dirname, '../../../tests/fixtures/vectors/vaults/newer-schema.db'), newer)
  fs.chmodSync(newer, 0o600)
  await fails(Client.open('test', { vault: newer }), 'newer')
})

// SQLite by way of Python: Node has it from 22.5 on only.
const HOLD = `import sqlite3, sys
vault = sqlite3.connect(sys.argv[1], isolation_level=None)
vault.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()`
test('a vault that another program writes is busy', async (t) => {
  const writer = spawn('python3', ['-c', HOLD, path.join(home, '.local/share/clawkeep/vault.db')])
  const held = await new Promise((resolve) => {
    writer.once('error', () => resolve(false))
    writer.stdout.once('data', () => resolve(true))
    writer.once('exit', () => resolve(false))
  })
  if (!held) return t.skip('there is no python3 with SQLite')
  await fails(client.token('openai'), 'busy')
  writer.stdin.end()
  await once(writer, 'exit')
  assert.strictEqual((await client.token('openai')).secret, KEY)
})

test('on read-only media nothing is handed out', (t) => {
  const unshare = process.geteuid() === 0 ? ['--mount'] : ['-Urm']
  const mount = 'mount --bind "$HOME" "$HOME" && mount -o remount,bind,ro "$HOME" || exit 99; exec "$@"'
  const use = `require(${JSON.stringify(path.join(__dirname, '..'))}).Client.open('t').then((client) => client.token('openai')).catch((error) => console.log(error.kind))`
  const done = spawnSync('unshare', [...unshare, 'sh', '-c', mount, 'sh', process.execPath, '-e', use])
  if (done.status !== 0) return t.skip(`nothing can be mounted here: ${done.stderr}`)
  assert.strictEqual(done.stdout.toString(), 'read_only\n')
})

test('each bad input has a kind', async () => {
  await fails(client.token('opnai'), 'unknown_provider')
  await fails(client.token('anthropic'), 'no_credential')
  await fails(client.tokenFor('openai:none'), 'unknown_profile')
  await fails(client.token('openai', { minValid: -1 }), 'bad_argument')
  await fails(client.markFailed('openai:manual', 'tired'), 'bad_argument')
  await fails(Client.open('test', { vault: path.join(home, 'none', 'vault.db'), create: false }), 'absent')
  const locked = path.join(home, 'locked')
  await Client.open('test', { stateDir: locked, passphrase: 'six words that nobody has heard' })
  await fails(Client.open('test', { stateDir: locked }), 'locked')
  const keys = path.join(home, '.config/clawkeep')
  for (const name of fs.readdirSync(keys)) fs.rmSync(path.join(keys, name))
  await fails(Client.open('test'), 'missing_key')
  const vault = path.join(home, '.local/share/clawkeep/vault.db')
  fs.writeFileSync(vault, Buffer.concat([Buffer.from('SQLite format 3\0'), Buffer.alloc(4080)]))
  await fails(Client.open('test'), 'damaged')
})

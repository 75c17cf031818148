'use strict'
// Builds the native part with cargo. It needs Rust 1.92 or later and a C compiler.
const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const names = { darwin: 'libclawkeep_node.dylib', win32: 'clawkeep_node.dll' }
const name = names[process.platform] ?? 'libclawkeep_node.so'
const target = process.env.CARGO_TARGET_DIR ?? path.join(__dirname, 'target')
execFileSync('cargo', ['build', '--release', '--locked'], { cwd: __dirname, stdio: 'inherit' })
// Beside its place first: a running program may have the old one loaded.
const built = path.join(__dirname, 'clawkeep.node')
fs.copyFileSync(path.join(target, 'release', name), `${built}.new`)
fs.renameSync(`${built}.new`, built)

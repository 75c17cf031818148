#!/usr/bin/env bash
# Builds the bindings for Python and Node as their READMEs say, and runs their tests. Not part of tests/run.sh: it takes minutes
# from nothing, and needs pip and npm.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cargo build --locked --bin clawkeep
export CLAWKEEP=$PWD/target/debug/clawkeep CARGO_TARGET_DIR=$PWD/target/bindings

python3 -m venv "$work/python"
"$work/python/bin/pip" install -q ./bindings/python pytest
"$work/python/bin/pytest" -q bindings/python/tests

mkdir "$work/node"
echo '{"private": true}' > "$work/node/package.json"
(cd "$work/node" && npm install --no-audit --no-fund --loglevel=error "$OLDPWD/bindings/node")
(cd "$work/node" && node -e "require('clawkeep').Client.open('smoke', { vault: '$work/vault.db', passphrase: 'six words that nobody has heard' })")
node --test bindings/node/tests/

#!/usr/bin/env bash
# Has the real OpenClaw resolve secrets through `clawkeep secretref`. Not part of tests/run.sh: it needs npm and 1 GB.
#
#   tests/interop/openclaw.sh [connect]   with `connect`: `clawkeep connect openclaw` beside a running gateway
#
#   CLAWKEEP=path/to/binary    the program to check, instead of building it
#   CLAWKEEP_INTEROP_CACHE     where the client is installed, by default ~/.cache/clawkeep-interop
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

fail() { printf 'tests/interop: %s\n' "$*" >&2; exit 2; }
command -v npm >/dev/null || fail "npm is missing: install Node.js with npm; any version that runs npm will do, the client gets its own"

clawkeep=${CLAWKEEP:-}
if [ -z "$clawkeep" ]; then
    cargo build --locked --manifest-path "$root/Cargo.toml"
    clawkeep=${CARGO_TARGET_DIR:-$root/target}/debug/clawkeep
fi
[ -x "$clawkeep" ] || fail "$clawkeep is no program"

case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) platform=linux-x64 ;;
    Linux-aarch64) platform=linux-arm64 ;;
    Darwin-x86_64) platform=darwin-x64 ;;
    Darwin-arm64) platform=darwin-arm64 ;;
    *) fail "no Node.js package is known for $(uname -s) on $(uname -m)" ;;
esac

pins=$here/openclaw/package.json
version() { sed -n "s/.*\"$1\": \"\([0-9.-]*\)\".*/\1/p" "$pins"; }
cache=${CLAWKEEP_INTEROP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/clawkeep-interop}
client=$cache/openclaw-$(version openclaw)-node-$(version node)-$platform
if [ ! -d "$client" ]; then
    echo "installing the client into $client" >&2
    fresh=$client.new.$$
    trap 'rm -rf "$fresh"' EXIT
    mkdir -p "$fresh"
    cp "$pins" "$fresh/"
    # Without the packages' own scripts. The `node` package is one of those scripts, so its platform's package is taken instead.
    (cd "$fresh" && npm install --ignore-scripts --no-audit --no-fund --loglevel=error "node-$platform@$(version node)" >&2)
    mv "$fresh" "$client"
    trap - EXIT
fi

if [ "${1:-}" = connect ]; then
    exec python3 -B "$here/openclaw/connect.py" "$client" "$(realpath "$clawkeep")"
fi
work=$(mktemp -d "$cache/run.XXXXXX")
trap 'rm -rf "$work"' EXIT
env -i HOME="$work" PATH=/usr/bin:/bin NODE_OPTIONS="--require $here/offline.cjs" "$client/node_modules/node-$platform/bin/node" "$here/openclaw/check.mjs" "$client" "$(realpath "$clawkeep")"

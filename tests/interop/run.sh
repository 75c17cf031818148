#!/usr/bin/env bash
# Runs clawkeep beside the real reference client and compares. Not part of tests/run.sh: it needs npm, jq and 600 MB.
#
#   tests/interop/run.sh [--seed N] [--homes N] [--only CHECK]... [--keep]
#
#   CLAWKEEP=path/to/binary    the program to check, instead of building it
#   CLAWKEEP_INTEROP_CACHE     where the client is installed, by default ~/.cache/clawkeep-interop
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

fail() { printf 'tests/interop: %s\n' "$*" >&2; exit 2; }

need() {
    command -v "$1" >/dev/null || fail "$1 is missing: $2"
}
need python3 "install python3 (3.10 or later)"
need npm "install Node.js with npm; any version that runs npm will do, the client gets its own"
need node "install Node.js; npm needs it"
need jq "install jq (apt-get install jq)"

clawkeep=${CLAWKEEP:-}
if [ -z "$clawkeep" ]; then
    need cargo "install Rust, or name a binary in CLAWKEEP"
    cargo build --locked --manifest-path "$root/Cargo.toml"
    clawkeep=${CARGO_TARGET_DIR:-$root/target}/debug/clawkeep
fi
[ -x "$clawkeep" ] || fail "$clawkeep is no program"
clawkeep=$(realpath "$clawkeep")

case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) platform=linux-x64 ;;
    Linux-aarch64) platform=linux-arm64 ;;
    Darwin-x86_64) platform=darwin-x64 ;;
    Darwin-arm64) platform=darwin-arm64 ;;
    *) fail "no Node.js package is known for $(uname -s) on $(uname -m)" ;;
esac

cache=${CLAWKEEP_INTEROP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/clawkeep-interop}
case "$cache/" in "$root"/*) fail "the cache must lie outside the repository: $cache" ;; esac
# One directory for each set of pins: a changed pin is a new installation, and an interrupted one never looks finished.
pins=$(cat "$here/package.json" "$here"/stub/*.js* "$here"/stub/src/*.js | node -e '
    const hash = require("node:crypto").createHash("sha256");
    process.stdin.on("data", (part) => hash.update(part)).on("end", () => console.log(hash.digest("hex").slice(0, 16)));')
client=$cache/$pins-$platform
if [ ! -d "$client" ]; then
    echo "installing the client into $client" >&2
    fresh=$client.new.$$
    trap 'rm -rf "$fresh"' EXIT
    mkdir -p "$fresh"
    cp -R "$here/package.json" "$here/stub" "$fresh/"
    node_version=$(node -p 'require(process.argv[1]).config.node' "$here/package.json")
    # Without the packages' own scripts: nothing of what they fetch or build is used here. The `node` package is one of
    # those scripts, so its platform's package is taken instead.
    (cd "$fresh" && npm install --ignore-scripts --no-audit --no-fund --loglevel=error "node-$platform@$node_version" >&2)
    mv "$fresh" "$client"
    trap - EXIT
fi

exec python3 -B "$here/check.py" --clawkeep "$clawkeep" --client "$client" "$@"

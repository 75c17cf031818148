#!/usr/bin/env bash
# Runs clawkeep beside the real OpenClaw and the real Claude Code. Not part of tests/run.sh: it needs npm and 4 GB.
#
#   tests/interop/neighbours.sh [--clawkeep PATH] [--only CHECK]... [--keep]
#
#   CLAWKEEP=path/to/binary    the program to check, instead of building it; --clawkeep is the same
#   CLAWKEEP_INTEROP_CACHE     where the programs are installed, by default ~/.cache/clawkeep-interop
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

fail() { printf 'tests/interop: %s\n' "$*" >&2; exit 2; }
need() { command -v "$1" >/dev/null || fail "$1 is missing: $2"; }
need python3 "install python3 (3.10 or later)"
need npm "install Node.js with npm; any version that runs npm will do, the clients get their own"
need openssl "install openssl; the simulated login server needs a certificate"

clawkeep=${CLAWKEEP:-}
if [ "${1:-}" = --clawkeep ]; then
    clawkeep=${2:?--clawkeep needs a path}
    shift 2
fi
if [ -z "$clawkeep" ]; then
    need cargo "install Rust, or name a binary in CLAWKEEP"
    cargo build --locked --manifest-path "$root/Cargo.toml"
    clawkeep=${CARGO_TARGET_DIR:-$root/target}/debug/clawkeep
fi
[ -x "$clawkeep" ] || fail "$clawkeep is not a program"
clawkeep=$(realpath "$clawkeep")

case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) platform=linux-x64 ;;
    Linux-aarch64) platform=linux-arm64 ;;
    Darwin-x86_64) platform=darwin-x64 ;;
    Darwin-arm64) platform=darwin-arm64 ;;
    *) fail "no Node.js package is known for $(uname -s) on $(uname -m)" ;;
esac

pin() { sed -n "s/.*\"$2\": \"\([0-9.-]*\)\".*/\1/p" "$here/$1"; }
node=$(pin openclaw/package.json node)
cache=${CLAWKEEP_INTEROP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/clawkeep-interop}
case "$cache/" in "$root"/*) fail "the cache must lie outside the repository: $cache" ;; esac

# Installs packages into a directory of their own. Without the packages' own scripts; an interrupted installation never looks
# finished.
install() {
    local into=$cache/$1
    shift
    [ -d "$into" ] && return
    echo "installing $* into $into" >&2
    mkdir -p "$into.new.$$"
    echo '{"private": true}' >"$into.new.$$/package.json"
    (cd "$into.new.$$" && npm install --ignore-scripts --no-audit --no-fund --loglevel=error "$@" >&2)
    mv "$into.new.$$" "$into"
}
latest=openclaw-$(pin openclaw/package.json openclaw)-node-$node-$platform
before=openclaw-$(pin neighbours/pins.json openclaw-before)-node-$node-$platform
json=openclaw-$(pin neighbours/pins.json openclaw-json)-node-$node-$platform
claude=claude-code-$(pin neighbours/pins.json claude-code)-$platform
claude_before=claude-code-$(pin neighbours/pins.json claude-code-before)-$platform
install "$latest" "openclaw@$(pin openclaw/package.json openclaw)" "node-$platform@$node"
install "$before" "openclaw@$(pin neighbours/pins.json openclaw-before)" "node-$platform@$node"
install "$json" "openclaw@$(pin neighbours/pins.json openclaw-json)" "node-$platform@$node"
for name in claude-code claude-code-before; do
    version=$(pin neighbours/pins.json $name)
    install "claude-code-$version-$platform" "@anthropic-ai/claude-code@$version" "@anthropic-ai/claude-code-$platform@$version"
done

exec python3 -B "$here/neighbours/check.py" --clawkeep "$clawkeep" --latest "$cache/$latest" --before "$cache/$before" \
    --json-era "$cache/$json" --claude-code "$cache/$claude" --claude-code-before "$cache/$claude_before" "$@"

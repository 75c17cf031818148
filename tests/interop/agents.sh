#!/usr/bin/env bash
# Runs the real Claude Code and Codex CLI with secrets from the vault, against a provider on loopback. Not part of tests/run.sh:
# it needs npm and 1 GB.
#
#   CLAWKEEP=path/to/binary    the program to check, instead of building it
#   CLAWKEEP_INTEROP_CACHE     where the programs are installed, by default ~/.cache/clawkeep-interop
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

fail() { printf 'tests/interop: %s\n' "$*" >&2; exit 2; }
command -v npm > /dev/null || fail "npm is missing: install Node.js with npm"
command -v python3 > /dev/null || fail "python3 is missing: install python3 (3.10 or later)"

clawkeep=${CLAWKEEP:-}
if [ -z "$clawkeep" ]; then
    cargo build --locked --manifest-path "$root/Cargo.toml"
    clawkeep=${CARGO_TARGET_DIR:-$root/target}/debug/clawkeep
fi
[ -x "$clawkeep" ] || fail "$clawkeep is not a program"

cache=${CLAWKEEP_INTEROP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/clawkeep-interop}
version() { sed -n "s/.*\"$1\": \"\([0-9.-]*\)\".*/\1/p" "$here/neighbours/pins.json"; }
programs=$cache/agents-$(version claude-code)-$(version codex)
if [ ! -d "$programs" ]; then
    echo "installing the programs into $programs" >&2
    mkdir -p "$programs.new.$$"
    echo '{"private": true}' > "$programs.new.$$/package.json"
    (cd "$programs.new.$$" && npm install --ignore-scripts --no-audit --no-fund --loglevel=error \
        "@anthropic-ai/claude-code@$(version claude-code)" "@openai/codex@$(version codex)" >&2)
    mv "$programs.new.$$" "$programs"
fi
exec python3 "$here/${CLAWKEEP_INTEROP_SCRIPT:-agents.py}" "$(realpath "$clawkeep")" "$programs"

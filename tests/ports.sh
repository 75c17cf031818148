#!/usr/bin/env bash
# Compiles clawkeep for systems that this machine is not: the library, the program, the tests and the
# benchmarks, with warnings as errors. Runs the tests of Windows under Wine.
#
#   tests/ports.sh check                compiles for every target below; nothing is linked or run
#   tests/ports.sh check TARGET...      some of them
#   tests/ports.sh wine                 all tests of Windows, and what tests/wine.sh tries
#   tests/ports.sh wine FILTER...       the tests whose names have one of these in them
#   tests/ports.sh wine -- COMMAND...   a command with Wine's variables set: `wine64` is on the PATH, and
#                                       CLAWKEEP names the program
#
# Installs what is missing: Debian packages as root or with `sudo -n`, Zig below target/ports. Skips
# the targets that need what it cannot install, and says why. With CI=true a skip fails.
#
# A rustup toolchain has the standard library of its own system only. Debian has the sources of that
# of its own compiler, so it is compiled too, once a target: the first check of a target takes minutes,
# later ones seconds.
set -euo pipefail
cd "$(dirname "$0")/.."

# A target | what compiles its C code.
targets='
x86_64-pc-windows-gnu      | mingw
aarch64-apple-darwin       | zig
x86_64-apple-darwin        | zig
x86_64-unknown-freebsd     | zig
x86_64-unknown-linux-musl  | zig
aarch64-unknown-linux-gnu  | zig
'

dir=$PWD/target/ports
export CARGO_TARGET_DIR=$dir RUSTC=/usr/bin/rustc
# For -Zbuild-std. The versions of the compiler and of the library's sources are the same.
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="-D warnings" CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=0
# SQLite and ring are not run, so they need not be fast.
export CFLAGS=-O0 ZIG_GLOBAL_CACHE_DIR=$dir/zig-cache

usage() { sed -n '5,10s/^# \{0,1\}//p' "$0" >&2; exit 64; }
rows() { sed 's/ *| */|/g; /^$/d' <<< "$1"; }

# As root, without a question for a password.
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 \
        install -y -q --no-install-recommends "$@" > "$dir/log" 2>&1 < /dev/null
}
# Installs Debian packages. Where that fails, sets `why`.
need() {
    local installed
    installed=$(dpkg-query -W -f '${db:Status-Status}\n' "$@" 2> /dev/null | grep -cx installed)
    [ "$installed" != $# ] || return 0
    echo "apt-get install $*"
    if ! command -v apt-get > /dev/null; then
        why="$* not installed, and there is no apt-get here"
    elif ! as_root true > /dev/null 2>&1 < /dev/null; then
        why="$* not installed, which takes root, or sudo without a password"
    else
        install "$@" && return
        as_root apt-get update > /dev/null 2>&1 < /dev/null || true
        install "$@" && return
        why="$* not installed: $(tail -n 1 "$dir/log")"
    fi
    return 1
}

need_rust() {
    need rustc-web rust-web-src || return
    # bookworm has had older ones, too.
    local version
    version=$($RUSTC --version | cut -d ' ' -f 2)
    dpkg --compare-versions "$version" ge 1.92 || { why="Debian's rustc is $version"; return 1; }
}
need_mingw() { need gcc-mingw-w64-x86-64-win32; }
# Zig's package has the C headers of all these systems.
need_zig() {
    [ -x "$dir/zig/bin/cargo-zigbuild" ] && return
    need python3-venv || return
    echo "pip install ziglang cargo-zigbuild"
    python3 -m venv "$dir/zig" &&
        "$dir/zig/bin/pip" install -q ziglang==0.17.1 cargo-zigbuild==0.24.1 > "$dir/log" 2>&1 && return
    rm -rf "$dir/zig"
    why="Zig not installed: $(tail -n 1 "$dir/log")"
    return 1
}

check() {
    local target=$1 how=$2
    local arguments=(check -Zbuild-std --locked --keep-going --all-targets --target "$target")
    if [ "$how" = zig ]; then
        CARGO_ZIGBUILD_ZIG_PATH=$dir/zig/bin/python-zig \
            "$dir/zig/bin/cargo-zigbuild" "${arguments[@]}"
    else
        cargo "${arguments[@]}"
    fi
}

need_wine() { need wine64; }
# Builds the tests for Windows, and the program, which the integration tests run. The tests' names are left
# in $dir/tests.
build() {
    cargo test -Zbuild-std --locked --target x86_64-pc-windows-gnu --no-run --lib --bins --test it \
        --message-format=json-render-diagnostics |
        sed -n 's/.*"profile":{[^}]*"test":true.*"executable":"\([^"]*\.exe\)".*/\1/p' | sort -u > "$dir/tests"
}
# Wine with a prefix of its own. Nothing of the user's reaches it.
begin_wine() {
    export WINEPREFIX=$dir/wine WINEDEBUG=${WINEDEBUG:--all} WINEARCH=win64 PATH=/usr/lib/wine:$PATH
    export WINELOADER=/usr/lib/wine/wine64 WINESERVER=/usr/lib/wine/wineserver64
    export CLAWKEEP=$dir/x86_64-pc-windows-gnu/debug/clawkeep.exe HOME=$dir/home
    mkdir -p "$HOME"
    # As on Windows, nobody else reads a profile: Wine has the access lists of files from their modes, and
    # gives a file what its directory has, whatever its list says.
    umask 077
    [ -d "$WINEPREFIX" ] || wine64 wineboot -i > "$dir/log" 2>&1
    "$WINESERVER" -w
    chmod -R go-rwx "$WINEPREFIX/drive_c/users"
    # Wine 8 lacks this library, from which Rust's standard library takes its random numbers.
    local library=$WINEPREFIX/drive_c/windows/system32/bcryptprimitives.dll
    [ -e "$library" ] || x86_64-w64-mingw32-gcc -shared -O1 -o "$library" -xc - -ladvapi32 << 'END'
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE to, SIZE_T length) { return SystemFunction036(to, (ULONG)length); }
END
}
wine_tests() {
    local exe failed=0
    while read -r exe; do
        printf '\n== %s\n' "${exe##*/}"
        wine64 "$exe" --test-threads=2 "$@" < /dev/null || failed=1
    done < "$dir/tests"
    [ $# -gt 0 ] || [ ! -e tests/wine.sh ] || tests/wine.sh || failed=1
    return $failed
}

command -v cargo > /dev/null || { echo "cargo is missing: install Rust 1.92 or later" >&2; exit 1; }
mkdir -p "$dir"
if [ "${1:-}" = wine ]; then
    shift
    why=''
    if ! need_rust || ! need_mingw || ! need_wine; then
        echo "skipped: $why"
        [ "${CI:-}" != true ]
        exit
    fi
    build
    begin_wine
    if [ "${1:-}" = -- ]; then
        shift
        "$@"
    else
        wine_tests "$@"
    fi
    exit
fi
[ "${1:-}" = check ] || usage
shift
[ $# -gt 0 ] || set -- $(rows "$targets" | cut -d '|' -f 1)

summary='' passed=0 failed=0 skipped=0
for target in "$@"; do
    printf '\n== check %s\n' "$target"
    how=$(rows "$targets" | sed -n "s/^$target|//p")
    [ -n "$how" ] || usage
    why=''
    if ! need_rust || ! "need_$how"; then
        result="skipped: $why" skipped=$((skipped + 1))
    else
        since=$SECONDS
        if check "$target" "$how"; then
            result=ok passed=$((passed + 1))
        else
            result=FAILED failed=$((failed + 1))
        fi
        result="$((SECONDS - since)) s, $result"
    fi
    echo "$target: $result"
    summary+=$(printf '%-27s %s' "$target" "$result")$'\n'
done

printf '\n== summary\n%s%d passed, %d failed, %d skipped\n' "$summary" "$passed" "$failed" "$skipped"
[ "$failed" = 0 ] || exit 1
[ "$skipped" = 0 ] || [ "${CI:-}" != true ]

#!/usr/bin/env bash
# Compiles clawkeep for systems that this machine is not: the library, the program, the tests and the
# benchmarks, with warnings as errors. Runs the tests of Windows under Wine.
#
#   tests/ports.sh check                compiles for every target below; nothing is linked or run
#   tests/ports.sh check TARGET...      some of them
#   tests/ports.sh wine                 all tests of Windows, and what tests/wine.sh tries
#   tests/ports.sh wine FILTER...       the tests whose names have one of these in them
#                                       (CLAWKEEP_WINE_JOBS: integration tests at once, CLAWKEEP_WINE_LIMIT:
#                                       seconds for each)
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

usage() { sed -n '5,12s/^# \{0,1\}//p' "$0" >&2; exit 64; }
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
    export CLAWKEEP_CONSOLE_EVENT=$dir/console_event.exe
    x86_64-w64-mingw32-gcc -O1 -o "$CLAWKEEP_CONSOLE_EVENT" tests/it/support/console_event.c
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
# Runs one integration test, at most $limit seconds. Its output and how it ended are left in $out.
wine_test() {
    local name=$1 status=0 since=$SECONDS
    local log=$out/${name//:/-}
    timeout -k 5 "$limit" wine64 "$exe" --exact "$name" --test-threads=2 --nocapture > "$log" 2>&1 \
        < /dev/null || status=$?
    # Wine ends a process that is sent SIGTERM with status 0.
    case $status$(sed -n 's/^test result: ok. \([01]\) passed.*/-\1/p' "$log") in
    0-1) status=ok ;;
    0-0) status=ignored ;;
    124* | 137*) status="FAILED: not done after $limit s" ;;
    *) status=FAILED ;;
    esac
    printf '%-8s %3d s  %s\n' "$status" $((SECONDS - since)) "$name" | tee -a "$out.results"
    case $status in FAILED*) { echo "## $name"; tail -n 30 "$log"; } >> "$out.failures" ;; esac
}
# The tests of one binary. The unit tests share a process: they start no other. Each integration test has
# its own, so that one that hangs stops no other.
wine_binary() {
    local exe=$1 name=${1##*/}
    shift
    printf '\n== %s\n' "$name"
    export exe out=$dir/wine-${name%%-*} limit=${CLAWKEEP_WINE_LIMIT:-600}
    case $name in
    it-*)
        rm -rf "$out" "$out".*
        mkdir -p "$out"
        touch "$out.results" "$out.failures"
        wine64 "$exe" --list --format terse "$@" < /dev/null | tr -d '\r' | sed -n 's/: test$//p' |
            xargs -r -P "${CLAWKEEP_WINE_JOBS:-$(nproc)}" -I '{}' bash -c 'wine_test "{}"'
        cat "$out.failures"
        summary+="integration tests: $(grep -c '^ok' "$out.results") passed"
        summary+=", $(grep -c '^FAILED' "$out.results") failed"
        summary+=", $(grep -c '^ignored' "$out.results") ignored"$'\n'
        summary+=$(grep '^FAILED' "$out.results" || true)
        ! grep -q '^FAILED' "$out.results"
        ;;
    *)
        local status=0
        timeout -k 5 1800 wine64 "$exe" --test-threads=2 "$@" < /dev/null | tee "$out.log" || status=1
        summary+="unit tests: $(grep '^test result' "$out.log" || echo 'FAILED: not done')"$'\n'
        return $status
        ;;
    esac
}
wine_tests() {
    local exe failed=0 summary=''
    # Starting a server takes longer than most tests.
    "$WINESERVER" -p
    trap '"$WINESERVER" -k || true' EXIT
    export -f wine_test
    # Smaller than elsewhere: a process takes far longer to start.
    export CLAWKEEP_KILLS=${CLAWKEEP_KILLS:-50} CLAWKEEP_DAMAGES=${CLAWKEEP_DAMAGES:-5}
    export CLAWKEEP_UPDATES=${CLAWKEEP_UPDATES:-40} CLAWKEEP_UNLOCKED=${CLAWKEEP_UNLOCKED:-40}
    export CLAWKEEP_ROUNDS=${CLAWKEEP_ROUNDS:-3} CLAWKEEP_HOMES=${CLAWKEEP_HOMES:-4}
    export CLAWKEEP_FLIPS=${CLAWKEEP_FLIPS:-8} CLAWKEEP_RECORDS=${CLAWKEEP_RECORDS:-1}
    # What the tests skip, and why.
    export CLAWKEEP_SKIPPED=$dir/wine-skipped
    : > "$CLAWKEEP_SKIPPED"
    while read -r exe; do
        wine_binary "$exe" "$@" || failed=1
    done < "$dir/tests"
    if [ $# = 0 ]; then
        "$WINESERVER" -k || true # it waits until there is no server
        tests/wine.sh || failed=1
    fi
    printf '\n== summary, after %d s\n%s' "$SECONDS" "$summary"
    [ ! -s "$CLAWKEEP_SKIPPED" ] || { echo skipped:; sort "$CLAWKEEP_SKIPPED"; }
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

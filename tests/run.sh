#!/usr/bin/env bash
# Every check of this project; those that fail fastest come first. README.md names this as the test
# command, and .ci/run only calls it.
#
# Installs what is missing: Debian packages as root or with `sudo -n`, cargo's tools for this user.
# Skips what it cannot install, and lists what it skipped, and why, at the end. With CI=true a skip
# fails the run, unless `may_be_skipped` lists it.
#
# Longer runs:
#   CLAWKEEP_KILLS=1000 CLAWKEEP_ROUNDS=200 tests/run.sh    more kills; two fifths are of a sync
#   CLAWKEEP_UPDATES=10000 CLAWKEEP_UNLOCKED=1000 CLAWKEEP_DAMAGES=1000 CLAWKEEP_SEED=7 tests/run.sh
#                                                           more beside a gateway
#   CLAWKEEP_FAULTS=all cargo test --test it faults::       each system call fails, of equal ones in a row some: half an hour
#   cargo test --test it -- --ignored every_step            killed at each system call; needs strace
#   cargo test --test it -- --ignored power_cut             power cuts while secrets are handed out; needs strace
#   CLAWKEEP_FEATURES=all tests/run.sh                      the library with each feature alone, and without any
#   CLAWKEEP_ADVISORIES=yes tests/run.sh                    known vulnerabilities of dependencies, and how old that knowledge is
#   tests/bindings.sh                                       builds the bindings for Python and Node, and runs their tests
#   fuzz/run.sh 300                                         each fuzz target for five minutes
#   tests/ports.sh check                                    compiles for Windows, macOS, FreeBSD, musl, arm64
#   tests/ports.sh wine                                     runs the tests of Windows under Wine
set -euo pipefail
cd "$(dirname "$0")/.."

# What no package brings. The tests name these too.
may_be_skipped='
root          the tests run as an ordinary user
mknod         the kernel makes no device nodes, as in a container without CAP_MKNOD
namespaces    the kernel refuses new namespaces, as in some containers and in a chroot
user-systemd  systemd does not start for a user, as in most containers
shm           there is no /dev/shm
loop          no file system can be made in a file and mounted, as in most containers
attributes    the file system has no attributes for chattr, as tmpfs and overlays
shared        ../shared, with the recorded cases of the reference, is not in this repository
field-case    a field case needs user namespaces, or bindfs with /dev/fuse
fuse          /dev/fuse cannot be used, as in most containers
installed     another clawkeep is installed as /usr/bin/clawkeep
manuals       dpkg leaves manuals out, as in most images of containers
'

# What the checks use: a command that succeeds if it is there | its Debian packages | what is skipped
# without it: @STEP, or tests as nextest selects them (nothing: tests/packages.sh skips a part).
uses='
has cc                   | gcc libc6-dev    | @lints @documentation @tests @packages @fuzzing
has c++                  | g++              | @fuzzing
has python3              | python3          | @conformance @field-cases test(every_page_does) + test(every_example_of)
has dash                 | dash             | test(/^hidden_prompts::/)
has dpkg-shlibdeps       | dpkg-dev         | @packages
has lintian              | lintian          |
has setsid               | util-linux       | test(/^hidden_prompts::/)
has bindfs            | bindfs           | test(/^storage::(a_layer|a_log|a_journal|a_vault|no_|processes|the_setting)/) + test(=doctor::the_vault)
has fuse-overlayfs    | fuse-overlayfs   | test(=storage::fuse_overlayfs_is_of_this_kernel)
has gocryptfs         | gocryptfs        | test(/^storage::(gocryptfs|a_layer)/)
has mergerfs          | mergerfs         | test(=storage::mergerfs_is_of_this_kernel)
has mkfs.ext4         | e2fsprogs        | test(=storage::a_disk_is_local)
has sshfs             | sshfs openssh-sftp-server | test(/^storage::sshfs/)
has setfacl              | acl              |
has man                  | man-db           |
has elvish               | elvish           | test(elvish_takes_its_script)
has chattr               | e2fsprogs        | test(an_attribute_that_forbids) + test(what_only_root_may_use)
has faketime             | faketime         | @conformance test(a_clock_that_) + test(older_than_the_retention) + test(the_machine_slept)
has fish                 | fish             | test(fish_completes)
has groff                | groff-base       | test(the_formatters_have_nothing_to_say)
has pkill                | procps           | test(one_that_hangs_is_ended) + test(made_to_crash) + test(ctrl_c_ends_it) + test(a_signal_waits) + test(across_process_namespaces)
has systemd-analyze      | systemd          | test(systemd_finds_no_fault) + test(a_real_systemd)
has strace               | strace           | test(two_secrets_that_were_printed)
has zsh                  | zsh              | test(zsh_completes)
has dbus-daemon          | dbus             | test(/^(keychain|secret_service_vault|alerts::desktop)::/)
has gnome-keyring-daemon | gnome-keyring    | test(/^(keychain|secret_service_vault)::/)
has secret-tool          | libsecret-tools  | test(/^secret_service_vault::/)
'

# Subcommands of cargo | what installs them, at a version that builds with Rust 1.92 | as above. Any
# version that is installed will do.
tools='
fmt     | component rustfmt rustfmt | @formatting
clippy  | component clippy rust-clippy | @lints
nextest | cargo install --locked cargo-nextest@0.9.143 --no-default-features --features default-no-update | @tests
deny    | cargo install --locked cargo-deny@0.20.2 | @licences
deb     | cargo install --locked cargo-deb@3.8.0 | @packages
fuzz    | cargo install --locked cargo-fuzz@0.13.2 | @fuzzing
'

has() { command -v "$1" > /dev/null; }
quietly() { "$@" > /dev/null 2>&1 < /dev/null; }
rows() { sed 's/ *| */|/g; /^$/d' <<< "$1"; }

work=$(mktemp -d)

# --- Skips: a name and a reason, a line each. tests/packages.sh and the tests append to it as well.
export CLAWKEEP_SKIPPED=$work/skipped
touch "$CLAWKEEP_SKIPPED" "$work/times"
lacking=''  # lines of a step and what it lacks
left_out='' # tests that are not run: ` + ` and a selection of nextest's, repeated

skip() {
    echo "skipped: $1: $2"
    printf '%s\t%s\n' "$1" "$2" >> "$CLAWKEEP_SKIPPED"
}

# Skips the steps and the tests in $3, which need $1. $2 says why that is not here.
skip_all() {
    local name tests
    skip "$1" "$2; needed by ${3//@/}"
    for name in $(grep -o '@[a-z-]*' <<< "$3"); do lacking+="${name#@} $1"$'\n'; done
    tests=$(sed 's/@[a-z-]* *//g' <<< "$3")
    left_out+=${tests:+ + $tests}
}

lacks() { sed -n "s/^$1 //p" <<< "$lacking" | grep .; }

# --- Steps.
step='' since=0
end_step() {
    [ -z "$step" ] || printf '%5d s  %s\n' $((SECONDS - since)) "$step" >> "$work/times"
    since=$SECONDS step=$1
}
# Begins a step; false where it is skipped.
step() {
    end_step "$1"
    printf '\n== %s\n' "$2"
    ! quietly lacks "$1" || { echo "skipped, for want of: $(lacks "$1" | paste -sd ' ')"; return 1; }
}

# Says how long each step took and what was skipped. In CI, decides which skips fail the run.
finish() {
    local status=$? failed=$step name reason
    end_step ''
    printf '\n== summary\n'
    cat "$work/times"
    [ ! -s "$CLAWKEEP_SKIPPED" ] || echo "skipped:"
    while IFS=$'\t' read -r name reason; do
        if [ "${CI:-}" != true ] || grep -q "^$name " <<< "$may_be_skipped"; then
            echo "  $name: $reason"
        else
            echo "  $name: $reason (not to be skipped in CI)"
            [ "$status" != 0 ] || status=1 failed="$name was skipped"
        fi
    done < <(sort -u "$CLAWKEEP_SKIPPED")
    [ "$status" = 0 ] && echo "All checks passed that were not skipped." || echo "Failed: $failed"
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT

# --- What is missing is installed.
# As root, without a question for a password.
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 \
        install -y -q --no-install-recommends "$@" > "$work/log" 2>&1 < /dev/null
}
# A component of rustup's; the package of that name if Rust is Debian's.
component() { if has rustup; then rustup component add "$1"; else install "$2"; fi; }

step setup "what is missing"
has cargo || { echo "cargo is missing: install Rust 1.92 or later" >&2; exit 1; }
missing=()
while IFS='|' read -r check packages _; do
    $check || missing+=($packages)
done < <(rows "$uses")
if [ ${#missing[@]} -gt 0 ]; then
    echo "apt-get install ${missing[*]}" # tried here, or to be done by hand
    if ! has apt-get; then
        why="not installed, and there is no apt-get here"
    elif ! quietly as_root true; then
        why="not installed, which takes root, or sudo without a password"
    else
        why="not installed: apt-get failed"
        quietly as_root apt-get update || true
        # One by one where one of them is not known.
        install "${missing[@]}" || for package in "${missing[@]}"; do
            install "$package" || tail -n 3 "$work/log"
        done
    fi
    while IFS='|' read -r check packages without; do
        [ -z "$without" ] || $check || skip_all "${packages%% *}" "$why" "$without"
    done < <(rows "$uses")
fi
while IFS='|' read -r tool command without; do
    quietly cargo "$tool" --version && continue
    quietly lacks "${without#@}" && continue # a step that will not run
    echo "$command"
    # Built for this one use: that it is built fast counts. One directory, for what they share.
    if ! CARGO_TARGET_DIR=target/tools CARGO_PROFILE_RELEASE_OPT_LEVEL=0 \
        $command > "$work/log" 2>&1 < /dev/null; then
        tail -n 3 "$work/log"
        skip_all "cargo-$tool" "not installed, see above" "$without"
    fi
done < <(rows "$tools")
rm -rf target/tools

# --- The checks.
if step formatting "formatting"; then
    cargo fmt --check
fi

if step lints "lints"; then
    cargo clippy --locked --all-targets -- -D warnings
    cargo clippy --locked --no-default-features --lib -- -D warnings
    # A program that embeds the library gets nothing that only the program needs.
    linked=$(cargo tree --locked -e normal --no-default-features --prefix none)
    ! grep -E '^(clap|csv|maud|notify|reqwest|tokio|toml_edit|zbus) ' <<< "$linked" || exit 1
    # On demand: each set compiles its own dependencies.
    [ "${CLAWKEEP_FEATURES:-}" != all ] || for features in oauth keychain watch alerts; do
        cargo clippy --locked --lib --no-default-features --features "$features" -- -D warnings
    done
    [ "${CLAWKEEP_FEATURES:-}" != all ] || cargo test --locked --no-default-features --lib
fi

if step licences "licences and sources of what is linked"; then
    cargo deny --log-level error check bans licenses sources
    # On demand: the database comes from the network, and is used as it is where there is none.
    if [ "${CLAWKEEP_ADVISORIES:-}" ]; then
        database=${CARGO_HOME:-$HOME/.cargo}/advisory-dbs
        cargo deny fetch db || echo "the database was not updated"
        git -C "$database"/*/ log -1 --format='the advisories are of %cd (%cr)' || {
            echo "there is no database of advisories in $database" >&2
            exit 1
        }
        cargo deny check --disable-fetch advisories
    fi
fi

if step documentation "documentation"; then
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items
    cargo test --locked --doc
fi

if step tests "unit and integration tests"; then
    [ "$(uname -sm)" = "Linux x86_64" ] || skip faults "tests/it/faults.rs is for Linux on x86-64"
    cargo nextest run --locked ${left_out:+-E "not (${left_out# + })"}
fi

# The recorded behaviour of the reference. A copy of the cases is also run in-process above.
shared=../shared
[ -d "$shared" ] || skip_all shared "there is no $shared" "@conformance @field-cases"
if step conformance "conformance"; then
    # A few cases expect a `remainingMs` that is the recording's own clock (an expiry of 0 minus a
    # "now" of 1,800,000,000,000). Those are run, runner and program alike, at that time.
    fixed='@REL-1800000000000@'
    cases=$shared/conformance/cases.jsonl
    grep -v -F "$fixed" "$cases" > "$work/cases"
    grep -F "$fixed" "$cases" > "$work/fixed"
    cargo build --locked --tests # as the tests left it
    python3 "$shared/conformance/run.py" target/debug/clawkeep "$work/cases"
    faketime=$(find /usr/lib -name libfaketime.so.1 -print -quit)
    clock="LD_PRELOAD=$faketime FAKETIME='2027-01-15 08:00:00' TZ=UTC"
    # The runner calls its program by the name `clawdbot`; a script has to pass that on.
    printf '#!/bin/bash\n%s exec -a clawdbot "%s" "$@"\n' "$clock" "$PWD/target/debug/clawkeep" \
        > "$work/clawdbot"
    chmod +x "$work/clawdbot"
    sh -c "$clock exec python3 $shared/conformance/run.py $work/clawdbot $work/fixed"
fi

# Cases from the field: bug reports of neighbouring programs.
[ "$(id -u)" = 0 ] || skip_all root "the tests run as an ordinary user" "@field-cases"
if step field-cases "field cases"; then
    # Where the other users of these cases can run it, unlike in root's home.
    chmod 711 "$work"
    cp target/debug/clawkeep "$work/clawkeep"
    "$shared/field-cases/run.sh" "$work/clawkeep" > "$work/field" || true
    grep -q ' passed, ' "$work/field" || { cat "$work/field"; exit 1; }
    failed=''
    while read -r name result reason; do
        case $result in
            SKIP*) skip field-case "$name ${reason:-does not say why}" ;;
            FAIL) failed+=" $name" ;;
        esac
    done < <(grep -E '^[a-z][0-9]+ (PASS|FAIL|SKIP)' "$work/field")
    [ -z "$failed" ] || { cat "$work/field"; echo "failed:$failed" >&2; exit 1; }
fi

if step packages "packages"; then
    tests/packages.sh
fi

# What was found and the seeds are replayed by the tests above.
if step fuzzing "fuzzing, three seconds a target"; then
    fuzz/run.sh 3
fi

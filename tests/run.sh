#!/usr/bin/env bash
# Every check of this project, in the order in which they fail fastest. The README names this as the test command, and
# .ci/run calls it, so that the two cannot drift.
#
#   CLAWKEEP_KILLS=1000 CLAWKEEP_ROUNDS=200 tests/run.sh      the longer fault runs (half of the kills are of a sync)
#   CLAWKEEP_UPDATES=10000 CLAWKEEP_UNLOCKED=1000 CLAWKEEP_DAMAGES=1000 CLAWKEEP_SEED=7 tests/run.sh     the same, beside a gateway
#   CLAWKEEP_FAULTS=all cargo test --test it faults::         every system call of every command fails: half an hour (else some, by seed)
#   cargo test --test it -- --ignored every_step              killed at every system call; needs strace, takes minutes
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }

step "formatting"
cargo fmt --check

step "lints"
cargo clippy --locked --all-targets -- -D warnings

step "licences and sources of what is linked"
cargo deny --log-level error check bans licenses sources

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items
cargo test --locked --doc

step "unit and integration tests"
cargo nextest run --locked

step "packages"
tests/packages.sh

# What was found and the seeds are replayed by the tests above. For longer: fuzz/run.sh 300.
step "fuzzing, three seconds a target"
if command -v cargo-fuzz >/dev/null; then
    fuzz/run.sh 3
else
    echo "left out: cargo install --locked cargo-fuzz"
fi

# The recorded behaviour of the reference, where its runner is at hand. A copy of the cases is also run in-process above.
# A few cases expect a `remainingMs` that is the recording's own clock (an expiry of 0 minus a "now" of 1,800,000,000,000).
# Those are run, runner and program alike, at that time.
conformance=../shared/conformance
if [ -x "$conformance/run.py" ]; then
    step "conformance"
    cargo build --locked --tests # as the tests above left it
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    fixed='@REL-1800000000000@'
    grep -v -F "$fixed" "$conformance/cases.jsonl" > "$work/cases"
    grep -F "$fixed" "$conformance/cases.jsonl" > "$work/fixed"
    python3 "$conformance/run.py" target/debug/clawkeep "$work/cases"
    faketime=$(find /usr/lib -name libfaketime.so.1 -print -quit)
    [ -n "$faketime" ] || { echo "the package faketime is missing" >&2; exit 1; }
    clock="LD_PRELOAD=$faketime FAKETIME=2027-01-15\\ 08:00:00 TZ=UTC"
    printf '#!/bin/sh\n%s exec "%s/target/debug/clawkeep" "$@"\n' "$clock" "$PWD" > "$work/clawkeep"
    chmod +x "$work/clawkeep"
    sh -c "$clock exec python3 $conformance/run.py $work/clawkeep $work/fixed"
fi

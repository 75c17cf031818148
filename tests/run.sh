#!/usr/bin/env bash
# Every check of this project, in the order in which they fail fastest. The README names this as the test command, and
# .ci/run calls it, so that the two cannot drift.
#
#   CLAWKEEP_KILLS=1000 CLAWKEEP_ROUNDS=200 tests/run.sh      the longer fault runs (half of the kills are of a sync)
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

# The recorded behaviour of the reference, where its runner is at hand. A copy of the cases is also run in-process above.
# Left out here, and run there with the clock they need: cases whose expected `remainingMs` is the recording's own clock
# (an expiry of 0 minus a "now" of 1,800,000,000,000), which no real clock can meet.
conformance=../shared/conformance
if [ -x "$conformance/run.py" ]; then
    step "conformance"
    cargo build --locked
    cases=$(mktemp)
    trap 'rm -f "$cases"' EXIT
    grep -v -F '@REL-1800000000000@' "$conformance/cases.jsonl" > "$cases"
    echo "left out: $(grep -c -F '@REL-1800000000000@' "$conformance/cases.jsonl") cases recorded under a fixed clock"
    python3 "$conformance/run.py" target/debug/clawkeep "$cases"
fi

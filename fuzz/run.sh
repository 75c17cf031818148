#!/usr/bin/env bash
# Every fuzz target for a short time, from its seeds: `fuzz/run.sh [SECONDS]`, ten a target where nothing is said.
#
# What is found is left in fuzz/artifacts and ends the run. What is discovered on the way is not kept: the corpora that are
# committed are small on purpose.
#
#   FUZZ_SANITIZER=address fuzz/run.sh 300     with AddressSanitizer: twice as long to build, for changes to what is linked
set -euo pipefail
cd "$(dirname "$0")"

seconds=${1:-10}
sanitizer=${FUZZ_SANITIZER:-none}
target_dir=${CARGO_TARGET_DIR:-$PWD/target}/$sanitizer

# A nightly toolchain if there is one; else the default one, told to take the flags that it keeps for nightlies.
toolchain=()
if rustup toolchain list 2>/dev/null | grep -q '^nightly'; then
    toolchain=(+nightly)
else
    export RUSTC_BOOTSTRAP=1
fi
triple=$(rustc "${toolchain[@]}" -vV | sed -n 's/^host: //p')
cargo "${toolchain[@]}" fuzz build --fuzz-dir . --target-dir "$target_dir" --target "$triple" --sanitizer "$sanitizer" --strip-dead-code

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for program in fuzz_targets/*.rs; do
    target=$(basename "$program" .rs)
    mkdir -p "artifacts/$target" "$work/$target"
    dictionary=()
    [ -f "dictionaries/$target" ] && dictionary=("-dict=dictionaries/$target")
    printf '== %s, %s s\n' "$target" "$seconds"
    if ! nice "$target_dir/$triple/release/$target" "$work/$target" "corpus/$target" \
        "${dictionary[@]}" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="artifacts/$target/" >"$work/log" 2>&1; then
        cat "$work/log"
        echo "found by $target: see fuzz/artifacts/$target" >&2
        exit 1
    fi
    grep -E 'number_of_executed_units|new_units_added' "$work/log"
done

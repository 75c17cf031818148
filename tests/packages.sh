#!/usr/bin/env bash
# The packages: that the crate builds from what `cargo package` packs, and can be installed; that the
# .deb installs, has what it should, and goes away whole. Run by tests/run.sh, which installs what it
# needs, with the build of the tests. For a release, the .deb of the release build:
#
#   tests/packages.sh release
set -euo pipefail
cd "$(dirname "$0")/.."

profile=${1:-dev}
[ "$profile" = dev ] && built=debug || built=$profile
target=$PWD/target
files=$target/package-files
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() { echo "packages: $*" >&2; exit 1; }
# As in tests/run.sh, which lists what was skipped.
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
skip() {
    echo "packages: skipped: $1: $2"
    [ -z "${CLAWKEEP_SKIPPED:-}" ] || printf '%s\t%s\n' "$1" "$2" >> "$CLAWKEEP_SKIPPED"
}

# --- The crate.
cargo package --locked --allow-dirty --list > "$work/list"
# Examples of the documentation, and the schema, are read when it is built.
for needed in migrations/V1__vault.sql tests/fixtures/doc/vault.rs docs/guide/first-run.md LICENSE src/config/providers.toml; do
    grep -qx "$needed" "$work/list" || fail "$needed is not in the crate"
done
if grep -E '^(\.ci|fuzz|target|tests/interop)/' "$work/list"; then fail "that is not for the crate"; fi
# Its build is the one of `cargo install` below.
cargo package --locked --allow-dirty --no-verify 2> "$work/log" || { cat "$work/log" >&2; exit 1; }
if grep '^warning' "$work/log"; then fail "cargo package warns"; fi
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
crate=$target/package/clawkeep-$version
rm -rf "$crate"
tar -xzf "$crate.crate" -C "$target/package"
export CARGO_TARGET_DIR=$target
RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --no-deps --lib --manifest-path "$crate/Cargo.toml"
cargo install --quiet --locked --debug --path "$crate" --root "$work/root"
"$work/root/bin/clawkeep" --version

# --- The .deb. The program makes its own manual and completions; the day is that of the last commit, so that two builds are alike.
[ "$profile" = dev ] && cargo build --locked --bin clawkeep || cargo build --locked --profile "$profile" --bin clawkeep
program=$target/$built/clawkeep
rm -rf "$files"
mkdir -p "$files"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2> /dev/null || date +%s)}
export SOURCE_DATE_EPOCH
make() { env HOME="$work" "$program" "$@"; }
make man --to "$files/man"
make completions bash > "$files/clawkeep.bash"
make completions zsh > "$files/_clawkeep"
make completions fish > "$files/clawkeep.fish"
{
    printf 'clawkeep is licensed under either of the Apache License, Version 2.0 (on Debian in\n'
    printf '/usr/share/common-licenses/Apache-2.0) or the MIT license, at your option.\n\n'
    sed -n '/^MIT License$/,/^---/p' LICENSE | sed '/^---/d'
} > "$files/copyright"
grep -q 'WITHOUT WARRANTY OF ANY KIND' "$files/copyright" || fail "LICENSE is not as it was"
printf 'clawkeep (%s-1) unstable; urgency=medium\n\n  * See changelog.gz.\n\n -- The clawkeep authors <>  %s\n' \
    "$version" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")" > "$files/changelog"
deb=$(cargo deb --quiet --locked --no-build --profile "$profile" --output "$work/")
[ -f "$deb" ] || deb=$(echo "$work"/*.deb)

# Suppressed: that the maintainer has no address (there is none to give), and what is asked of Debian's
# own packages only.
if command -v lintian > /dev/null; then
    lintian --fail-on error --suppress-tags \
        malformed-contact,bogus-mail-host-in-debian-changelog,initial-upload-closes-no-bugs "$deb" ||
        fail "lintian: $deb"
else
    skip lintian "the .deb was not checked"
fi

contents=$(dpkg-deb --contents "$deb")
for path in usr/bin/clawkeep usr/share/man/man1/clawkeep.1.gz usr/share/man/man1/clawkeep-models-auth-order.1.gz \
    usr/share/bash-completion/completions/clawkeep usr/share/zsh/vendor-completions/_clawkeep \
    usr/share/fish/vendor_completions.d/clawkeep.fish usr/share/doc/clawkeep/copyright usr/share/doc/clawkeep/README.md; do
    grep -q " \./\?$path" <<< "$contents" || fail "$path is not in $deb"
done
dpkg-deb --field "$deb" Depends | grep -q 'libc6' || fail "the .deb does not say which libc it needs"

if [ -e /usr/bin/clawkeep ]; then
    skip installed "/usr/bin/clawkeep is there already: the .deb was not installed"
elif ! as_root true 2> /dev/null; then
    skip root "the .deb was not installed"
else
    as_root dpkg -i "$deb"
    trap 'as_root dpkg -r clawkeep; rm -rf "$work"' EXIT
    [ "$(/usr/bin/clawkeep --version)" = "clawkeep $version" ] || fail "clawkeep --version"
    # Images of containers often leave the manuals out, and tell dpkg so.
    if grep -qrs '^path-exclude.*/man' /etc/dpkg/dpkg.cfg.d; then
        skip manuals "dpkg is told here not to install manuals"
    elif ! command -v man > /dev/null; then
        skip man-db "the manuals were not looked up"
    else
        man -w clawkeep clawkeep-token
    fi
    bash -c 'source /usr/share/bash-completion/completions/clawkeep; complete -p clawkeep'
    as_root dpkg -r clawkeep
    trap 'rm -rf "$work"' EXIT
    [ ! -e /usr/bin/clawkeep ] || fail "the .deb leaves the program behind"
fi
mkdir -p "$target/debian"
cp "$deb" "$target/debian/"
echo "packages: $(basename "$deb"), $(stat -c %s "$deb") bytes"

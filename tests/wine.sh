#!/usr/bin/env bash
# A session with every everyday command, under Wine, as a person on Windows types them: each ends with
# its status, prints what it should, and nothing that is of no use on Windows.
#
# Called by `tests/ports.sh wine`, which sets CLAWKEEP, and Wine's variables. Alone:
#   tests/ports.sh wine -- tests/wine.sh
set -euo pipefail

# A user who has just got the machine: Wine makes the profile of whomever USER names.
export USER=session$$
# A server that runs already has its user.
"$WINESERVER" -w
profile=$WINEPREFIX/drive_c/users/$USER
trap 'rm -rf "$profile"' EXIT
mkdir -p "$profile/.claude"
cd "$profile"
failed=0 answer=$profile/answer.txt errors=$profile/errors.txt

clawkeep() { timeout 120 wine64 "$CLAWKEEP" "$@"; }
fail() {
    printf 'FAILED: %s: clawkeep %s\n' "$1" "$command" >&2
    sed 's/^/  | /' "$answer" "$errors" >&2
    failed=$((failed + 1))
}

# Nothing that a program says on Windows has one of these.
foreign='\\\\\?\\|panicked|chmod|chown|sudo|systemctl|loginctl|DBUS|XDG_|/home/|/run/|/etc/|/usr/'

# run STATUS TEXT ARGUMENTS...: runs a command, whose answer must have a line that matches TEXT (an
# extended regular expression), on stdout or stderr.
run() {
    local status=0 wanted=$1 text=$2
    shift 2
    command=$*
    clawkeep "$@" > "$answer" 2> "$errors" || status=$?
    if [ "$status" != "$wanted" ]; then
        fail "status $status instead of $wanted"
    elif ! grep -qE -- "$text" "$answer" "$errors"; then
        fail "no \`$text\`"
    elif grep -qE -- "$foreign" "$answer" "$errors"; then
        fail "$(grep -hoE -- "$foreign" "$answer" "$errors" | head -n 1)"
    else
        echo "ok: $command"
    fi
}
# secret TEXT ARGUMENTS...: prints this secret, and nothing on stderr.
secret() {
    local text=$1
    shift
    run 0 "^$text$" "$@"
    { [ "$(wc -l < "$answer")" = 1 ] && [ ! -s "$errors" ]; } || fail "more than the secret"
}
# Claude Code logs in with a token, for some hours.
login() {
    printf '{"claudeAiOauth":{"accessToken":"%s","refreshToken":"sk-ant-ort01-x","expiresAt":%s}}' \
        "$1" $((($(date +%s) + $2 * 3600) * 1000)) > .claude/.credentials.json
}
token() { echo "sk-ant-oat01-$1-0123456789abcdef"; }

# What is there before there is a vault.
run 0 '^Usage: clawkeep' --help
run 0 '^clawkeep [0-9]' --version
run 64 'unrecognized subcommand' statsu
run 0 'Register-ArgumentCompleter' completions powershell
run 1 'Not installed' monitor status
run 1 'Windows has no launchd' monitor install --by launchd --dry-run

# The first run takes over the login of Claude Code.
login "$(token first)" 100
run 0 'created the vault .*in the keychain' models status
run 0 'anthropic:claude-cli ok expires in 4d' models status --check
run 1 'there is a vault' init
secret "$(token first)" token --provider anthropic
run 0 'anthropic:claude-cli +anthropic +token +ok' models auth list
login "$(token second)" 200
secret "$(token second)" token --provider anthropic

# Pasted keys and tokens, with the line ends of Windows.
run 0 'Auth profile: openai:manual' models auth paste-api-key --provider openai <<< $'sk-test-openai-0123456789abcdef\r'
run 0 'Auth profile: anthropic:work' models auth paste-token --provider anthropic \
    --profile-id anthropic:work <<< $'sk-ant-oat01-work-0123456789abcdef\r'
secret sk-test-openai-0123456789abcdef token --provider openai

# The order.
run 0 'Order override: \(none\)' models auth order get --provider anthropic
run 0 'Order override: anthropic:work, anthropic:claude-cli' \
    models auth order set --provider anthropic anthropic:work anthropic:claude-cli
run 0 'Order override: anthropic:work, anthropic:claude-cli' models auth order get --provider anthropic
secret sk-ant-oat01-work-0123456789abcdef token --provider anthropic
run 0 'Cleared' models auth order clear --provider anthropic
run 0 '^anthropic:work' models auth candidates --provider anthropic

# A program gets a secret, and its status is passed on.
run 7 '^key=sk-test-openai-0123456789abcdef' exec --provider openai -- \
    cmd /d /c 'echo key=%OPENAI_API_KEY%& exit /b 7'
run 127 'no-such-program' exec --provider openai -- no-such-program

# The record.
run 0 'credential.used +openai:manual' history
run 0 'order.cleared +' history --kind order
run 0 '^openai:manual +2 ' history uses
run 0 'The record holds: [0-9]+ events' audit verify
run 0 '^Wrote .*credentials.html' report --to credentials.html
grep -q '<html' credentials.html || fail "no page"

# Keys.
run 0 '^1 +keychain ' key status
run 0 '[kK]ey slot 2' key add keyfile
run 0 '^2 +keyfile .*\.key' key status
run 0 '^  [0-9A-HJKMNP-TV-Z*~$=U]{5}-' key recovery
code=$(sed -n 's/^  //p' "$answer" | tr -d '\r' | tr '\n' '-')
printf '%s' "${code%-}" > code.txt
run 0 '^Rotated: data key 2' key rotate

# A copy, and back, with what was added since.
run 0 '^Backup: .*vault-copy.db' backup create vault-copy.db
run 0 'code|recovery|opens' --passphrase-file code.txt backup verify vault-copy.db
run 0 'Auth profile: groq:manual' models auth paste-api-key --provider groq <<< sk-test-groq-0123456789abcdef
run 0 '^Restored ' backup restore vault-copy.db
secret sk-test-groq-0123456789abcdef token --provider groq
run 0 'The record holds' audit verify

# The watcher takes over a login that changes.
command=watch
wine64 "$CLAWKEEP" watch > "$answer" 2> "$errors" &
watcher=$!
# Waits until a file has this text.
until_there() {
    for _ in $(seq 300); do ! grep -q "$1" "$2" || return 0; sleep 0.1; done
    fail "no \`$1\` in $2"
}
until_there 'watching: ' "$answer"
login "$(token third)" 300
until_there 'imported anthropic:claude-cli' "$answer"
kill $watcher
wait $watcher || true
secret "$(token third)" token --profile anthropic:claude-cli

# What is left of all that.
run 0 '^Vault: ' doctor
run 0 'anthropic:claude-cli ok' models status --check
run 0 'The record holds' audit verify
[ "$failed" = 0 ] || { echo "wine.sh: $failed failed" >&2; exit 1; }
echo "wine.sh: all as it should be"

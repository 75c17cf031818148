# What a user's systemd makes of `clawkeep monitor`. Run in mounts and processes of its own; ends with 3 where it cannot be started.
#
#   user_systemd.sh HOME CLAWKEEP
set -u
home=$1
clawkeep=$2
export HOME=$home XDG_RUNTIME_DIR=/run/user/$(id -u)
systemd=/lib/systemd/systemd
[ -x "$systemd" ] || exit 3
# To systemd, a machine was started by systemd if this directory is there. The mount is this shell's and its children's alone.
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system "$XDG_RUNTIME_DIR" && chmod 700 "$XDG_RUNTIME_DIR" || exit 3

# A control group of its own, in whichever trees there are; taken away at the end.
group=clawkeep-$(basename "$home")
trees=
for tree in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
    [ -e "$tree/cgroup.procs" ] && mkdir "$tree/$group" && trees="$trees $tree" || continue
    echo $$ >"$tree/$group/cgroup.procs" || exit 3
done
leave() {
    status=$?
    kill "$manager" 2>/dev/null
    wait "$manager" 2>/dev/null
    for tree in $trees; do
        echo $$ >"$tree/cgroup.procs"
        find "$tree/$group" -depth -type d -exec rmdir {} +
    done
    # Not 1, with which `unshare` ends where it may not do what it does.
    [ "$status" -eq 1 ] && status=4
    exit "$status"
}

"$systemd" --user >/dev/null 2>&1 &
manager=$!
trap leave EXIT
for _ in $(seq 200); do
    systemctl --user is-system-running >/dev/null 2>&1 && break
    kill -0 "$manager" 2>/dev/null || exit 3
    sleep 0.05
done
systemctl --user is-system-running >/dev/null 2>&1 || exit 3

set -e
answer() { echo --; "$@"; }
"$clawkeep" -q init --key keyfile >/dev/null
"$clawkeep" monitor install
answer "$clawkeep" monitor status --json
systemctl --user reload clawkeep-watch.service
answer grep -E 'NoNewPrivs|Seccomp:' "/proc/$(systemctl --user show --property=MainPID --value clawkeep-watch)/status"
answer "$clawkeep" monitor install --timer
answer "$clawkeep" monitor status
systemctl --user start clawkeep-watch.service
answer systemctl --user show clawkeep-watch.service --property=Result,ExecMainStatus
answer "$clawkeep" monitor uninstall
answer "$clawkeep" monitor status && exit 1 || true

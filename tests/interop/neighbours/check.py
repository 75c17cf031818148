"""Runs clawkeep beside today's OpenClaw, an OpenClaw of the JSON era, and Claude Code. Prints one line a check."""
import argparse
import signal
import sys

import world as _world  # puts tests/interop on the path
import claude_code
import gateway
import json_era
import upgrade

CHECKS = {
    "claude-code": claude_code.check,
    "claude-code-before": lambda world: claude_code.check(world, "before"),
    "claude-code-account": claude_code.check_account_in_file,
    "claude-code-two": claude_code.check_two_directories,
    "json-era-lock": json_era.check_lock,
    "json-era": json_era.check,
    "ours-first": lambda world: gateway.check(world, "ours-first"),
    "theirs-first": lambda world: gateway.check(world, "theirs-first"),
    "upgrade-window": upgrade.check_window,
    "upgrade": upgrade.check,
    "upgrade-ours-only": upgrade.check_empty,
}


def results(check):
    """The results of one check. What cannot go on ends its check, and no other."""
    try:
        yield from check()
    except Exception as error:
        yield "cannot go on", f"{type(error).__name__}: {error}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clawkeep", required=True)
    parser.add_argument("--latest", required=True)
    parser.add_argument("--before", required=True)
    parser.add_argument("--json-era", required=True)
    parser.add_argument("--claude-code", required=True)
    parser.add_argument("--claude-code-before", required=True)
    parser.add_argument("--only", action="append", choices=CHECKS, help="run this check only (may be repeated)")
    parser.add_argument("--keep", action="store_true", help="leave the homes where they are, and say where")
    options = parser.parse_args()
    # Ended from outside, it still ends the gateways it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    world = _world.World(options)
    passed = failed = 0
    try:
        for name, check in CHECKS.items():
            if options.only and name not in options.only:
                continue
            for what, wrong in results(lambda: check(world)):
                wrong = wrong and " ".join(wrong.split())  # one line a check
                passed, failed = passed + (wrong is None), failed + (wrong is not None)
                print(f"ok      {name}: {what}" if wrong is None else f"FAILED  {name}: {what}: {wrong}", flush=True)
    finally:
        world.close()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

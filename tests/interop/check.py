#!/usr/bin/env python3
"""clawkeep beside the real reference client. Started by run.sh, which installs the client.

One line a check, `ok` or `FAILED` with what was seen, then `N passed, N failed`. Exit 1 if any failed.
"""
import argparse
import random
import sys

import agree
import known
import monitor
import order
import settle
import writers
from programs import Failed, Programs, expect


def checks(programs, options):
    """Every check in order: its name and a function, or a generator of results."""
    return {
        "homes": lambda: agree.check(programs, options.seed, options.homes),
        "settle-ours": lambda: settle.check(programs, "ours"),
        "settle-theirs": lambda: settle.check(programs, "theirs"),
        "settle-alone": lambda: settle.check_ours_alone(programs),
        "codex": lambda: known.check_codex(programs),
        "order": lambda: order.check(programs),
        "order-agent": lambda: order.check_agent(programs),
        "updates": lambda: writers.check_updates(programs, options.seed, options.updates),
        "their-lock": lambda: writers.check_their_lock(programs),
        "our-lock": lambda: writers.check_our_lock(programs),
        "monitor": lambda: monitor.check(programs),
        "known": lambda: known.check(programs),
        "network": lambda: check_network(programs),
    }


# Where there is a token for GitHub Copilot, the client exchanges it for another one even for a report as JSON.
EXCHANGE = "fetch https://api.github.com/copilot_internal/v2/token"


def check_network(programs):
    """The client tried to reach nobody else, in any of the checks before. Each attempt was refused before it left the process."""
    attempts = programs.network_attempts()
    others = [attempt for attempt in attempts if attempt != EXCHANGE]
    expect(not others, f"{len(others)} attempts, the first: {others[:1]}")
    yield f"the client reached nobody; {len(attempts)} exchanges of Copilot tokens were refused", None
    programs.home("network").client("reach").ok()
    noticed = programs.network_attempts()[len(attempts):]
    expect([attempt.split()[0] for attempt in noticed] == ["fetch", "connect"], f"attempts are not noticed: {noticed}")
    yield "an attempt would have been noticed", None


def results(check):
    """The results of one check as pairs of what was checked and None or what is wrong. What fails ends its check."""
    try:
        yield from check()
    except Failed as error:
        yield "not so", str(error)
    except Exception as error:  # one check that cannot go on is no reason to leave the others out
        yield "cannot go on", f"{type(error).__name__}: {error}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clawkeep", required=True)
    parser.add_argument("--client", required=True)
    parser.add_argument("--seed", type=int, default=None, help="of the varied homes; random if not given")
    parser.add_argument("--homes", type=int, default=50, help="how many varied homes")
    parser.add_argument("--updates", type=int, default=50, help="how many rounds of updates by the client's two writers")
    parser.add_argument("--only", action="append", help="run this check only (may be repeated)")
    parser.add_argument("--keep", action="store_true", help="leave the homes where they are, and say where")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1_000_000)
    programs = Programs(options.clawkeep, options.client, options.keep)
    print(f"client {programs.version}, seed {options.seed}", flush=True)
    passed = failed = 0
    try:
        for name, check in checks(programs, options).items():
            if options.only and name not in options.only:
                continue
            for what, wrong in results(check):
                passed, failed = passed + (wrong is None), failed + (wrong is not None)
                print(f"ok      {name}: {what}" if wrong is None else f"FAILED  {name}: {what}: {wrong}", flush=True)
    finally:
        programs.close()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

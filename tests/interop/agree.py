"""Both programs report the same of the same home, and the client reads our export as it reads the original."""
import collections
import concurrent.futures
import time

import differences
import homes
from programs import MAIN, STORE, Failed, expect

STATUS = ("models", "status", "--json", "--check")
# Two clocks are read one after the other.
REMAINING_MS = 60_000
READABLE = ("api_key", "token", "oauth")


def differs(ours, theirs, path="$"):
    """The first difference as text, or None."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in [*ours, *(key for key in theirs if key not in ours)]:
            if key not in theirs or key not in ours:
                side = "ours" if key in ours else "theirs"
                return f"{path}.{key}: only {side}: {(ours if key in ours else theirs)[key]!r}"
            if key == "remainingMs":
                if abs(ours[key] - theirs[key]) > REMAINING_MS:
                    return f"{path}.{key}: ours {ours[key]}, theirs {theirs[key]}"
                continue
            found = differs(ours[key], theirs[key], f"{path}.{key}")
            if found:
                return found
        return None
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = enumerate(zip(ours, theirs))
        return next((found for at, (a, b) in pairs if (found := differs(a, b, f"{path}[{at}]"))), None)
    return None if same(ours, theirs) else f"{path}: ours {ours!r}, theirs {theirs!r}"


def same(ours, theirs):
    """Numbers as JavaScript has them: 1 and 1.0 are one, and so are whole numbers above 2^53 that one double stands for."""
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (ours, theirs)):
        return float(ours) == float(theirs)
    return ours == theirs and isinstance(ours, bool) == isinstance(theirs, bool)


def readable(store):
    """The profiles that are credentials."""
    return {
        name: entry for name, entry in store["profiles"].items()
        if isinstance(entry, dict) and entry.get("type") in READABLE and entry.get("provider")
    }


def compare(home, pristine, tally):
    """Our report of `home`, the client's of the same home with our export in it, and the client's of the untouched copy."""
    original = agent_store(pristine)
    ours = home.ours(*STATUS)
    exported = agent_store(home)
    theirs, untouched = home.theirs(*STATUS), pristine.theirs(*STATUS)
    now = int(time.time() * 1000)
    report, other, first = (run.json(0, 1, 2) for run in (ours, theirs, untouched))
    expect(exported is None or agent_store(home) == exported, "the client's status changed the store that we wrote")
    for document in (other, first):
        for difference in differences.ALL:
            tally[difference.__name__] += difference(document, report, exported or {}, now)
    first = replaced(first, str(pristine.path), str(home.path))
    found = differs(report, other) or differs(other, first, "untouched $")
    expect(not found, found)
    expect(ours.status == theirs.status, f"--check: ours {ours.status}, theirs {theirs.status}")
    if original is None and exported is not None:
        # Imported from an older file, by each from its own copy.
        imported = agent_store(pristine)
        tally["legacy_fields"] += differences.legacy_fields(exported, imported)
        found = differs(readable(exported), readable(imported), "imported $")
        expect(not found, found)
        expect(home.at(f"{MAIN}/auth.json").exists() == pristine.at(f"{MAIN}/auth.json").exists(), "auth.json left by one only")
    elif exported is not None:
        # Exactly, numbers too large for JavaScript included.
        expect(original == exported, differs(original, exported, "export $"))
    tally["profiles"] += len(report["auth"]["oauth"]["profiles"])
    tally[f"exit {ours.status}"] += 1


def agent_store(home):
    """The store of the agent that `models status` is about, or None."""
    named = home.env.get("CLAWDBOT_AGENT_DIR") or home.env.get("PI_CODING_AGENT_DIR")
    rel = f"{named.removeprefix('~/').removeprefix(f'{home.path}/')}/auth-profiles.json" if named else STORE
    return home.json(rel) if home.at(rel).exists() else None


def replaced(value, old, new):
    """The document with one path put for another."""
    if isinstance(value, str):
        return value.replace(old, new)
    if isinstance(value, list):
        return [replaced(item, old, new) for item in value]
    if isinstance(value, dict):
        return {key: replaced(item, old, new) for key, item in value.items()}
    return value


def check(programs, seed, count):
    """Yields a line a home, and one of sums."""
    tally = collections.Counter()

    def one(index):
        now = int(time.time() * 1000)
        home = programs.home(f"home-{index}")
        kind = homes.build(home, seed, index, now)
        pristine = home.copy(f"home-{index}-untouched")
        for name, value in pristine.env.items():
            pristine.env[name] = value.replace(str(home.path), str(pristine.path))
        tally[kind] += 1
        compare(home, pristine, tally)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        running = [pool.submit(one, index) for index in range(count)]
        for index, result in enumerate(running):
            try:
                result.result()
                yield f"home {seed}/{index}", None
            except Failed as error:
                yield f"home {seed}/{index}", str(error)
    yield "the homes: " + ", ".join(f"{name} {number}" for name, number in sorted(tally.items())), None

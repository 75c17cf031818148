#!/usr/bin/env python3
"""Writes report.png, the picture of a report in the README: three weeks of a made-up machine.

    docs/images/report.py target/release/clawkeep [PAGE]

Needs chromium, and faketime for the clock of those weeks. PAGE also keeps the page itself.
"""
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zlib

DAY, HOUR = 86_400, 3_600
DAYS = 21
# Of the picture, in pixels.
WIDTH, HEIGHT = 1000, 1320


class Machine:
    """A home with agents and logins, and a clock of its own."""

    def __init__(self, home, program):
        self.home, self.now = pathlib.Path(home), time.time() - DAYS * DAY
        (self.home / "bin").mkdir()
        (self.home / "bin/clawkeep").symlink_to(program)
        for agent in ("main", "ops"):
            (self.home / f".clawdbot/agents/{agent}/agent").mkdir(parents=True, mode=0o700)
        for directory in (".clawdbot", ".claude", ".codex"):
            (self.home / directory).mkdir(exist_ok=True)
            (self.home / directory).chmod(0o700)

    def run(self, script, text=""):
        """What a shell does at the machine's time. It reads its script from a pipe, so that the record names bash."""
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(self.now))
        env = {"HOME": str(self.home), "PATH": f"{self.home}/bin:/usr/bin:/bin", "TZ": "UTC", "USER": "ana",
               "SCRIPT": f"exec 3<&-\n{script}\nexit"}
        feed = "exec bash /dev/fd/3 3< <(printf '%s' \"$SCRIPT\")"
        return subprocess.run(["faketime", "-f", f"@{at}", "bash", "-c", feed], env=env, cwd=self.home, input=text,
                              capture_output=True, text=True)

    def write(self, path, value):
        file = self.home / path
        file.write_text(json.dumps(value))
        file.chmod(0o600)

    def claude_logs_in(self, number):
        login = {"accessToken": f"sk-ant-oat01-{number:020}", "refreshToken": f"r{number}",
                 "expiresAt": int((self.now + 8 * HOUR) * 1000)}
        self.write(".claude/.credentials.json", {"claudeAiOauth": login})


def live(machine):
    """Three weeks, in steps of six hours."""
    machine.claude_logs_in(0)
    machine.run("clawkeep -q init --key keyfile; clawkeep -q sync")
    machine.run("clawkeep -q add openai", "sk-proj-4eC39HqLyjWDarjtT1zdp7dc\n")
    machine.run("clawkeep -q add openai --id openai:second", "sk-proj-9bTq2XvN7mZc5LrHs8WpKd3f\n")
    machine.run("clawkeep -q add anthropic --token --expires-in 25d --id anthropic:team --agent ops",
                "sk-ant-oat01-7dYt5sW2pL0qRx9GvB3nM4kZ\n")
    machine.run("clawkeep -q add groq --agent ops", "gsk_9GvB3nM4kZ7dYt5sW2pL0qRx\n")
    machine.run("clawkeep -q add deepseek --token --expires-in 18d", "sk-3f6a9c2b8d1e\n")
    for step in range(1, DAYS * 4):
        machine.now += 6 * HOUR
        # The machine is off for a day and a half.
        if 40 <= step < 46:
            continue
        machine.claude_logs_in(step)
        machine.run("clawkeep -q sync")
        if step % 4 in (1, 2):
            for _ in range(1 + step % 3):
                machine.run("clawkeep -q run openai -- true; clawkeep -q run anthropic:claude-cli -- true")
            machine.run("clawkeep -q run anthropic:team -- true; clawkeep -q run groq -- true")
        if step % 12 == 5:
            machine.run("clawkeep -q models auth mark openai:manual --failed rate_limit")
        if step % 20 == 6:
            machine.run("clawkeep -q run deepseek -- true")
        if step == 60:
            machine.run("clawkeep -q models auth mark groq:manual --agent ops --failed billing")
    machine.now = time.time()
    machine.claude_logs_in(999)
    machine.run("clawkeep -q models auth mark groq:manual --agent ops --failed billing")


def smaller(png):
    """The picture with a colour table in place of a colour a pixel: the colours that are there most, each other one as the
    nearest of them."""
    size, packed, at = struct.unpack(">II", png[16:24]), b"", 8
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at:at + 8])
        packed += png[at + 8:at + 8 + length] if kind == b"IDAT" else b""
        at += length + 12
    depth = {2: 3, 6: 4}[png[25]]
    rows, stride, flat = zlib.decompress(packed), size[0] * depth, []
    before = bytearray(stride)
    for y in range(size[1]):
        how, row = rows[y * (stride + 1)], bytearray(rows[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        for x in range(stride):
            left, above = row[x - depth] if x >= depth else 0, before[x]
            corner = before[x - depth] if x >= depth else 0
            guess = left + above - corner
            nearest = min((abs(guess - left), 0, left), (abs(guess - above), 1, above), (abs(guess - corner), 2, corner))[2]
            row[x] = (row[x] + (0, left, above, (left + above) // 2, nearest)[how]) & 255
        before = row
        flat.append([bytes(row[x:x + 3]) for x in range(0, stride, depth)])
    counts = {}
    for row in flat:
        for colour in row:
            counts[colour] = counts.get(colour, 0) + 1
    table = sorted(counts, key=counts.get, reverse=True)[:256]
    place = {colour: number for number, colour in enumerate(table)}
    for colour in counts:
        if colour not in place:
            far = [sum((a - b) ** 2 for a, b in zip(colour, known)) for known in table]
            place[colour] = far.index(min(far))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    lines = b"".join(b"\0" + bytes(place[colour] for colour in row) for row in flat)
    return (png[:8] + chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 3, 0, 0, 0)) + chunk(b"PLTE", b"".join(table))
            + chunk(b"IDAT", zlib.compress(lines, 9)) + chunk(b"IEND", b""))


def photograph(page, picture, width=WIDTH, height=HEIGHT, *options):
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1",
                        f"--user-data-dir={profile}", f"--window-size={width},{height}", f"--screenshot={picture}", *options,
                        f"file://{page}"], check=True, capture_output=True, timeout=120)


def main():
    program = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as home:
        machine = Machine(home, program)
        live(machine)
        page = f"{home}/report.html"
        done = machine.run(f"clawkeep report --since {DAYS}d --to report.html")
        assert os.path.exists(page), done.stderr
        # The picture is of no machine in particular.
        text = pathlib.Path(page).read_text()
        pathlib.Path(page).write_text(text.replace(os.uname().nodename, "workshop"))
        if len(sys.argv) > 2:
            shutil.copy(page, sys.argv[2])
        picture = f"{home}/report.png"
        photograph(page, picture)
        made = smaller(pathlib.Path(picture).read_bytes())
    pathlib.Path(__file__).with_name("report.png").write_bytes(made)


main()

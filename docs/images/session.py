#!/usr/bin/env python3
"""Writes session.svg, the picture in the README: what the program prints in a home made for it.

    docs/images/session.py target/release/clawkeep
"""
import fcntl
import html
import os
import pathlib
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
import time

# Measures of a character and of a line, in pixels, for a font of 14 px.
WIDTH, HEIGHT, MARGIN = 8.43, 20, 18
COLUMNS = 100
COLOURS = {30: "#6c7086", 31: "#f38ba8", 32: "#a6e3a1", 33: "#f9e2af", 34: "#89b4fa", 35: "#cba6f7", 36: "#94e2d5", 90: "#7f849c"}
TEXT, DIM, BACKGROUND, PROMPT = "#cdd6f4", "#9399b2", "#1e1e2e", "#a6e3a1"
SETUP = """
mkdir -m 700 .claude; umask 077
printf '#!/bin/sh\necho planning with a key of ${#OPENAI_API_KEY} characters\n' > planner; chmod 700 planner
echo '{"claudeAiOauth":{"accessToken":"sk-ant-oat01-0123456789abcdefghijklmnop","refreshToken":"r","expiresAt":%d}}' > .claude/.credentials.json
clawkeep -q sync
"""
KEY = "sk-proj-4eC39HqLyjWDarjtT1zdp7dc\n"
# What is typed, and what is run for it, without the notes.
SESSION = [
    ("clawkeep add openai", "clawkeep -q add openai"),
    ("clawkeep ls", "clawkeep -q ls"),
    ("clawkeep run openai -- ./planner", "clawkeep run openai -- ./planner"),
    ("clawkeep log openai", "clawkeep -q log openai 2> /dev/null"),
    ("clawkeep audit verify", "clawkeep audit verify"),
]


def run(home, command, text=""):
    """What a person at a terminal would see. The commands come through a pipe, so that the record names bash."""
    env = {"HOME": home, "PATH": f"{home}/bin:/usr/bin:/bin", "TERM": "xterm", "USER": "ana", "TZ": "UTC",
           "SCRIPT": f"exec 2>&1 3<&-\n{command}\nexit"}
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 60, COLUMNS, 0, 0))
    shell = ["bash", "-c", "exec bash /dev/fd/3 3< <(printf '%s' \"$SCRIPT\")"]
    program = subprocess.Popen(shell, env=env, cwd=home, stdin=subprocess.PIPE, stdout=terminal, stderr=terminal)
    os.close(terminal)
    program.stdin.write(text.encode())
    program.stdin.close()
    shown = b""
    while True:
        try:
            part = os.read(screen, 65536)
        except OSError:
            part = b""  # as a terminal ends
        if not part:
            break
        shown += part
    os.close(screen)
    assert program.wait() == 0, shown
    return shown.decode().replace("\r\n", "\n").replace(home, "/home/ana")


def pieces(line):
    """The parts of a line, each with its first column, colour and weight."""
    column, colour, bold = 0, TEXT, False
    for part in re.split(r"(\x1b\[[0-9;]*m)", line):
        if not part.startswith("\x1b"):
            if part.strip():
                yield column, part, colour, bold
            column += len(part)
            continue
        for code in [int(code or 0) for code in part[2:-1].split(";")]:
            if code == 0:
                colour, bold = TEXT, False
            elif code == 1:
                bold = True
            elif code == 2:
                colour = DIM
            else:
                colour = COLOURS.get(code, colour)


def picture(lines):
    width, height = COLUMNS * WIDTH + 2 * MARGIN, len(lines) * HEIGHT + 2 * MARGIN
    rows = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img">',
            "<title>A session with clawkeep</title>",
            f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>',
            '<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="14">']
    for number, line in enumerate(lines):
        y = MARGIN + number * HEIGHT + 14
        for column, text, colour, bold in pieces(line):
            lead = len(text) - len(text.lstrip())
            text = text.strip()
            weight = ' font-weight="bold"' if bold else ""
            rows.append(f'<text x="{MARGIN + (column + lead) * WIDTH:.1f}" y="{y}" fill="{colour}"{weight} xml:space="preserve" '
                        f'textLength="{len(text) * WIDTH:.1f}">{html.escape(text)}</text>')
    return "\n".join([*rows, "</g>", "</svg>", ""])


def main():
    program = pathlib.Path(sys.argv[1]).resolve()
    lines = []
    with tempfile.TemporaryDirectory() as home:
        os.mkdir(f"{home}/bin")
        os.symlink(program, f"{home}/bin/clawkeep")
        run(home, SETUP % ((time.time() + 5.1 * 86400) * 1000))
        for typed, command in SESSION:
            lines.append(f"\x1b[32m$\x1b[0m \x1b[1m{typed}\x1b[0m")
            lines += run(home, command, KEY if " add " in command else "").rstrip("\n").split("\n")
            lines.append("")
    pathlib.Path(__file__).with_name("session.svg").write_text(picture(lines[:-1]))


main()

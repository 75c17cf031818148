#!/usr/bin/env bash
# Connects the real Claude Code and Codex CLI with `clawkeep connect`, lets each send a request to a provider on loopback, and
# disconnects them. Not part of tests/run.sh: it needs npm and 1 GB.
#
# The variables are those of agents.sh, which installs the programs.
CLAWKEEP_INTEROP_SCRIPT=connect.py exec "$(cd "$(dirname "$0")" && pwd)/agents.sh"

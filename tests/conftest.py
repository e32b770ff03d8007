"""Set-up for all tests, independent of the program that starts them."""

from __future__ import annotations

import signal

from hypothesis import settings

# Shells make background processes ignore Ctrl-C; without this, every process that a test starts would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy the machine is. Each run tries the same examples, so that a failure belongs to
# its commit; `--hypothesis-profile search` tries others.
settings.register_profile("search", deadline=None)
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.load_profile("repeatable")

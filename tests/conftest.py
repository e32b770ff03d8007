"""Set-up for all tests, independent of the program that starts them."""

from __future__ import annotations

import signal

from hypothesis import settings

# Shells make background processes ignore Ctrl-C; without this, every process that a test starts would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy the machine is.
settings.register_profile("without deadlines", deadline=None)
settings.load_profile("without deadlines")

"""Set-up for all tests, independent of the program that starts them."""

from __future__ import annotations

import signal

# Shells make background processes ignore Ctrl-C; without this, every process that a test starts would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)

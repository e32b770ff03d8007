"""For every test, whatever the tests are started by."""

from __future__ import annotations

import signal

# Shells have what they start in the background ignore Ctrl-C, and so would every process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

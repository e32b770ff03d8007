"""What an engine's threads are doing, for the server's watchdog."""

from __future__ import annotations

from providers.engine_host.frames import Activity, Beat

__all__ = ["BEAT_SECONDS", "Pulse"]

BEAT_SECONDS = 1.0
"""Seconds between two `Beat` reports."""


class Pulse:
    """The state that the next `Beat` reports.

    The MLX thread writes `activity` and `steps`, the intake writes `commands` and `preparing`, and the writer reads
    them all. Each is one attribute, so that a decode step pays for one addition and no lock.
    """

    __slots__ = ("activity", "commands", "preparing", "steps")

    def __init__(self) -> None:
        self.activity: Activity = "loading"
        self.steps = 0
        """Units of work that the MLX thread has finished: decode steps, chunks of prompts, stages of loading."""
        self.commands = 0
        """Commands that the intake has begun to read."""
        self.preparing = False
        """Whether the intake works on a command."""

    def beat(self) -> Beat:
        return Beat(self.activity, self.steps, self.commands, self.preparing)

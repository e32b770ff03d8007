"""Images in the terminal: the protocols of kitty and of iTerm2, which other terminals also have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

__all__ = ["ROWS", "Protocol", "protocol_of", "shown"]

Protocol = Literal["kitty", "iterm"]

ROWS = 16
"""Rows of text that an image takes."""

_KITTY_CHUNK = 4096
_ESCAPE, _BELL = "\x1b", "\x07"


def protocol_of(environment: Mapping[str, str]) -> Protocol | None:
    """The protocol of the terminal that this environment describes. None: it has none that is known.

    tmux and screen pass no images on.
    """
    term = environment.get("TERM", "")
    if environment.get("TMUX") or term.startswith(("screen", "tmux")):
        return None
    if environment.get("KITTY_WINDOW_ID") or "kitty" in term or "ghostty" in term:
        return "kitty"
    program = environment.get("TERM_PROGRAM", "")
    if program == "ghostty":
        return "kitty"
    if program in ("iTerm.app", "WezTerm", "mintty") or environment.get("LC_TERMINAL") == "iTerm2":
        return "iterm"
    return None


def shown(file: str, protocol: Protocol, *, over: bool = False) -> str:
    """What shows a file in base64 below the cursor, and leaves the cursor below it. kitty shows PNG only.

    `over`: the image replaces the one that was shown just before.
    """
    # The rows are made first: at the bottom of the window, the image would scroll while it is drawn.
    place = f"{_ESCAPE}[{ROWS}A" if over else "\n" * ROWS + f"{_ESCAPE}[{ROWS}A"
    return f"{place}{_ESCAPE}7{_drawn(file, protocol)}{_ESCAPE}8{_ESCAPE}[{ROWS}B"


def _drawn(file: str, protocol: Protocol) -> str:
    if protocol == "iterm":
        options = f"inline=1;height={ROWS};preserveAspectRatio=1;size={len(file) * 3 // 4}"
        return f"{_ESCAPE}]1337;File={options}:{file}{_BELL}"
    chunks = [file[at : at + _KITTY_CHUNK] for at in range(0, len(file), _KITTY_CHUNK)]
    # Without answers of the terminal (q), which the shell would read as typed; C: the cursor stays.
    head = f"a=T,f=100,r={ROWS},C=1,q=2,"
    return "".join(
        f"{_ESCAPE}_G{head if at == 0 else ''}m={int(at + 1 < len(chunks))};{chunk}{_ESCAPE}\\"
        for at, chunk in enumerate(chunks)
    )

"""espeak-ng as another program: lines of text in, IPA out. No code of espeak is imported or loaded."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Sequence

from providers.errors import InternalError

__all__ = ["EspeakProgram"]

logger = logging.getLogger(__name__)

_BORDER = "0 0 0 0 0 0 0"
"""A line after each line of text: a line of text has several lines of output, or none."""
_SECONDS = 10.0
_SECONDS_PER_CHARACTER = 0.005
"""100 times what it takes."""


class EspeakProgram:
    """Runs the program once per call. A run that does not end in time is killed.

    Args:
        path: of the executable file.
        seconds: limit of a call, beside what its text takes.
    """

    def __init__(self, path: str, *, seconds: float = _SECONDS) -> None:
        self._path = path
        self._seconds = seconds

    def ipa(self, lines: Sequence[str], voice: str) -> list[str]:
        """The IPA of each line, with `^` between the letters of one sound, and without the flags of other languages.

        Args:
            lines: without line breaks.
            voice: espeak's name of the language.

        Raises:
            InternalError: the program failed or took too long.
        """
        asked = "\n".join((_BORDER, *(f"{line}\n{_BORDER}" for line in lines), ""))
        printed = self._run(asked, voice).splitlines()
        border = printed[0].strip() if printed else ""
        found: list[list[str]] = [[]]
        for line in printed[1:]:
            if line.strip() == border:
                found.append([])
            else:
                found[-1].append(line.strip())
        if not border or len(found) != len(lines) + 1:
            raise InternalError(f"espeak-ng returned {len(found) - 1} of {len(lines)} lines")
        return [" ".join(each) for each in found[:-1]]

    def _run(self, text: str, voice: str) -> str:
        command = [self._path, "-q", "--ipa", "--tie=^", "-b", "1", "-v", voice]
        limit = self._seconds + _SECONDS_PER_CHARACTER * len(text)
        try:
            done = subprocess.run(
                command, input=text.encode(errors="replace"), capture_output=True, timeout=limit, check=True
            )
        except subprocess.TimeoutExpired:
            raise InternalError(f"espeak-ng did not answer within {limit:.0f} s") from None
        except (subprocess.CalledProcessError, OSError) as error:
            logger.error("espeak-ng failed: %s", getattr(error, "stderr", None) or error)
            raise InternalError("espeak-ng, which reads this language, failed") from error
        return done.stdout.decode(errors="replace")

"""Program that reads a PDF: `python -m server.retrieval.texts.pdf FILE CHARACTERS PARENT` prints its text, in UTF-8.

A text of more than this number of characters is refused. The process ends when the one with the id `PARENT` has died.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import sys
import threading
import time

MEMORY = 4_000_000_000
"""Bytes of address space, which a PDF that expands without end exceeds."""
MAX_PAGES = 10_000


def main(path: str, most: int, parent: int) -> int:
    """Returns the exit status. On a failure, the last line of standard error is the reason."""
    with contextlib.suppress(ValueError, OSError):  # macOS does not limit address space
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()
    logging.disable(logging.CRITICAL)
    try:
        from pypdf import PdfReader
    except ImportError:
        print("pypdf is not installed; pip install 'mlx-openai-server-lab[retrieval]'", file=sys.stderr)
        return 1
    try:
        reader = PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            print("it is encrypted", file=sys.stderr)
            return 1
        if len(reader.pages) > MAX_PAGES:
            print(f"it has more than {MAX_PAGES} pages", file=sys.stderr)
            return 1
        for page in reader.pages:
            text = page.extract_text()
            most -= len(text)
            if most < 0:
                print("its text is too long", file=sys.stderr)
                return 1
            sys.stdout.buffer.write(text.encode("utf-8", "replace") + b"\n\n")
    except Exception as error:
        print(f"{type(error).__name__}: {error}".replace("\n", " "), file=sys.stderr)
        return 1
    return 0


def end_with(parent: int) -> None:
    """End this process when the server has died, which would have ended it after a time."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))

"""Program that reads a PDF: `python -m server.retrieval.texts.pdf FILE CHARACTERS PARENT` prints its text, in UTF-8.

A text of more than this number of characters is refused. The process ends when the one with the id `PARENT` has died.
"""

from __future__ import annotations

import sys

from server.retrieval.texts.confined import confine, refuse

MAX_PAGES = 10_000


def main(path: str, most: int, parent: int) -> int:
    """Returns the exit status. On a failure, the last line of standard error is the reason."""
    confine(parent)
    try:
        from pypdf import PdfReader
    except ImportError:
        return refuse("pypdf is not installed; pip install 'mlx-openai-server-lab[retrieval]'")
    try:
        reader = PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            return refuse("it is encrypted")
        if len(reader.pages) > MAX_PAGES:
            return refuse(f"it has more than {MAX_PAGES} pages")
        for page in reader.pages:
            text = page.extract_text()
            most -= len(text)
            if most < 0:
                return refuse("its text is too long")
            sys.stdout.buffer.write(text.encode("utf-8", "replace") + b"\n\n")
    except Exception as error:
        return refuse(f"{type(error).__name__}: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))

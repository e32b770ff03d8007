"""Words with a plainer alternative: `python -m tests.lint.prose`, part of `make lint`.

Reads docstrings and comments of all Python files, and the documentation. Reports each word with its replacement.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("contracts", "otel", "providers", "server", "tests")
PAGES = ("docs/**/*.md", "README.md")

_UNIT = "second|token|request|sentence|model|line|minute|step|turn|process|row|prompt|text|path"
INSTEAD: dict[str, str] = {
    r"lest": "otherwise …; so that … not",
    r"whoever|whomever": "the caller, the client",
    r"nobody|no one": "no client, no caller",
    r"kin": "and so on",
    r"so many": "up to N",
    r"at once": "immediately, together, at a time",
    r"(?:is|are|was|were) asked for": "requested",
    r"(?:is|are|was|were|be) told(?! apart)": "receives, gets, reads",
    rf"(?:once|one|{_UNIT}|{_UNIT}s) a (?:{_UNIT})": "per",
}
PATTERN = re.compile("|".join(rf"\b(?P<w{number}>{word})\b" for number, word in enumerate(INSTEAD)), re.IGNORECASE)


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers and lines of prose: docstrings and comments of Python, everything except code in pages."""
    source = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        fenced = False
        for number, line in enumerate(source.splitlines(), 1):
            fenced ^= line.startswith("```")
            if not fenced and not line.startswith("    "):
                yield number, line
        return
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            for offset, line in enumerate(node.value.value.splitlines()):
                yield node.lineno + offset, line


def found() -> Iterator[tuple[Path, int, str, str]]:
    """File, line, word and replacement of every match."""
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    files += [path for page in PAGES for path in ROOT.glob(page)]
    for path in sorted(files):
        if path == Path(__file__).resolve():
            continue
        for line, text in texts(path):
            for match in PATTERN.finditer(text):
                instead = list(INSTEAD.values())[int(str(match.lastgroup).removeprefix("w"))]
                yield path.relative_to(ROOT), line, match[0], instead


def main() -> None:
    problems = [*found()]
    for path, line, word, instead in problems:
        print(f"{path}:{line}: {word!r}; instead: {instead}")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()

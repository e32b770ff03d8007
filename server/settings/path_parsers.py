"""Parsers of options that name files and folders."""

from __future__ import annotations

import json
import os
from pathlib import Path

from server.settings.lexicon import read_lexicon
from server.settings.parser import accepts
from server.settings.parsers import TEXT, text

__all__ = ["database", "folder", "hostfile", "hosts", "keys", "lexicon", "log_file", "template", "writable_folder"]


@accepts(TEXT)
def database(value: object) -> str:
    """An absolute path of a file that exists or can be created, or `:memory:`."""
    path = text(value)
    if path == ":memory:":
        return path
    file = Path(path).expanduser().absolute()
    if file.is_dir():
        raise ValueError(f"must be a file, and {path} is a folder")
    if not file.parent.is_dir():
        raise ValueError(f"must be in a folder that exists, and {file.parent} does not")
    return str(file)


@accepts(TEXT)
def folder(value: object) -> str:
    """An absolute path of a folder that exists."""
    path = Path(text(value)).expanduser().absolute()
    if not path.is_dir():
        raise ValueError(f"must be a folder that exists, and {path} is none")
    return str(path)


@accepts(TEXT)
def writable_folder(value: object) -> str:
    """An absolute path of a folder that exists or can be created."""
    folder = Path(text(value)).expanduser().absolute()
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir():
        raise ValueError(f"must be a folder, and {there} is a file")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"must be a folder that can be written to, and {there} cannot")
    return str(folder)


@accepts(TEXT)
def log_file(value: object) -> str | None:
    """An absolute path of a file that exists or can be created with its folders; None for `none`."""
    path = text(value)
    if path.lower() == "none":
        return None
    file = Path(path).expanduser().absolute()
    if file.is_dir():
        raise ValueError(f"must be a file, and {path} is a folder")
    there = file if file.exists() else next(place for place in file.parents if place.exists())
    if not os.access(there, os.W_OK) or (there != file and not there.is_dir()):
        raise ValueError(f"must be a file that can be written to, and {there} cannot")
    return str(file)


@accepts(TEXT)
def hostfile(value: object) -> str:
    """An absolute path of MLX's hostfile."""
    given = text(value)
    file = Path(given).expanduser().absolute()
    try:
        hosts(str(file))
    except OSError as error:
        raise ValueError(f"must be a hostfile of MLX, and {given} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"must be a hostfile of MLX (JSON), and {given} is none: {error!r}") from None
    return str(file)


def hosts(path: str) -> list[str]:
    """The names of the hosts in MLX's hostfile, one per process."""
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    listed = content["hosts"] if isinstance(content, dict) else content
    return [str(host["ssh"]) for host in listed]


@accepts(TEXT)
def template(value: object) -> str:
    """A Jinja template, or the text of the file that has one."""
    given = text(value)
    if "{{" in given or "{%" in given:
        return given
    try:
        return Path(given).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ValueError(f"must be a Jinja file, and {given} cannot be read: {reason}") from None


@accepts(TEXT)
def keys(value: object) -> tuple[str, ...]:
    """The keys in a file, one per line. Blank lines and those that begin with `#` are none."""
    given = text(value)
    try:
        written = Path(given).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ValueError(f"must be a file of keys, and {given} cannot be read: {reason}") from None
    lines = (line.strip() for line in written.splitlines())
    found = tuple(line for line in lines if line and not line.startswith("#"))
    if not found:
        raise ValueError(f"must be a file of keys, and {given} has none")
    return found


@accepts(TEXT, {"type": "object", "additionalProperties": {"type": "string"}})
def lexicon(value: object) -> dict[str, str]:
    """A mapping of words to phonemes, or that of the YAML or JSON file that has one."""
    if isinstance(value, dict):
        value = json.dumps(value)
    written = text(value)
    if written.lstrip().startswith("{"):
        return read_lexicon(written)
    try:
        return read_lexicon(Path(written).expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ValueError(f"must be a file of words and phonemes, and {written} cannot be read: {reason}") from None

"""Kept prompts as files that outlive the process: safetensors as mlx-lm writes them, one per prompt.

    DIR/MODEL/DIGEST-CHECKSUM.safetensors     MODEL: the fingerprint of the model; DIGEST: that of the tokens
    DIR/MODEL/CACHEDIR.TAG                    marks the folder as written by this module

Each of several ranks has a folder of its own, with its part of each prompt. A prompt is used only if all ranks can read
their parts.

Files appear complete, by renaming. There are no locks: several servers may share DIR. Each of them sees the files that
were there when it started and its own, and deletes the oldest of all files when there are too many.

Only files of these names in marked folders are ever deleted: DIR may hold models and other things. Folders and files
are readable only by their owner, since prompts are in them.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import json
import logging
import os
import re
import time
import uuid
import zlib
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import mlx.core as mx
from mlx_lm.models import cache as mlx_cache
from mlx_lm.models.cache import can_trim_prompt_cache, load_prompt_cache, save_prompt_cache

from providers.engines.group.ranks import ALONE, Ranks
from providers.folders import private_folder

__all__ = ["PrefixFiles"]

logger = logging.getLogger(__name__)

BLOCK = 64
"""Tokens. A trimmable cache is found by every prefix of its prompt whose length is a multiple of this."""
_SUFFIX = ".safetensors"
_UNFINISHED = "tmp-"
_NAME = re.compile(r"[0-9a-f]{32}-[0-9a-f]{8}\.safetensors")
_UNFINISHED_NAME = re.compile(r"tmp-[0-9a-f]{32}\.safetensors")
_MARK = "CACHEDIR.TAG"
_MARK_TEXT = "Signature: 8a477f597d28d172789f06886806bc55\n# Prompts that mlx-openai-server keeps; safe to delete.\n"
"""As https://bford.info/cachedir/ specifies, so that backups leave the folder out."""
_ABANDONED_SECONDS = 3600.0
_HEADER_BYTES = 64 << 20


@attrs.frozen(kw_only=True)
class _File:
    path: Path
    tokens: array[int]
    trimmable: bool
    salt: str = ""


class PrefixFiles:
    """The files of one model. For the MLX thread only."""

    def __init__(self, folder: Path, model: str, max_bytes: int, ranks: Ranks = ALONE) -> None:
        """`model`: the result of `model_identity`. `max_bytes`: bound on `folder`, other models' files included.

        `ranks`: those that look for and save the same prompts.
        """
        self._ranks = ranks
        self._root = folder
        self._folder = folder / model
        self._max_bytes = max_bytes
        self._files: dict[bytes, _File] = {}
        self._prefixes: dict[int, dict[bytes, _File]] = {}
        """By length, then by the digest of that many tokens."""
        self._writable = True
        self._scan()

    def __len__(self) -> int:
        return len(self._files)

    def holds(self, tokens: Sequence[int], salt: str = "") -> bool:
        """Whether there is a file for exactly these tokens."""
        return _digest(tokens, salt) in self._files

    def fetch(self, tokens: Sequence[int], longer_than: int, salt: str = "") -> tuple[list[int], list[Any]] | None:
        """The tokens and the cache of the file that shares the longest prefix with `tokens`, among those of this salt.

        None if no file shares more than `longer_than` tokens. A file that cannot be read is deleted, with a warning.
        Files have no pictures, which are negative ids: what begins with one is in none.
        """
        tokens = list(itertools.takewhile(lambda token: token >= 0, tokens))
        found = self._candidates(tokens, longer_than, salt) if self._ranks.leads else iter(())
        digests = (_digest(file.tokens, file.salt) for file in found)
        while (digest := self._ranks.agree(next(digests, None))) is not None:
            file = self._files.get(digest)
            cache = None if file is None else self._load(file)
            if self._ranks.every(cache is not None):
                assert file is not None
                assert cache is not None
                return list(file.tokens), cache
            self._delete(self._files.get(digest))  # of no use without the other ranks' parts
        return None

    def save(self, tokens: Sequence[int], cache: list[Any], salt: str = "") -> None:
        """Write a cache that these tokens filled. After a failure, log a warning and write nothing more.

        Every rank writes its part, and none keeps it unless all do.
        """
        self._write(tokens, cache, salt)
        if not self._ranks.every(self.holds(tokens, salt)):
            self._delete(self._files.get(_digest(tokens, salt)))

    def _write(self, tokens: Sequence[int], cache: list[Any], salt: str) -> None:
        size = sum(layer.nbytes for layer in cache)
        if not self._writable or size > self._max_bytes or not _is_known(cache) or self.holds(tokens, salt):
            return
        packed = array("I", tokens)
        trimmable = bool(can_trim_prompt_cache(cache))
        unfinished = self._folder / f"{_UNFINISHED}{uuid.uuid4().hex}{_SUFFIX}"
        try:
            self._mark()
            metadata = {"tokens": base64.b64encode(packed.tobytes()).decode(), "trimmable": str(int(trimmable))}
            metadata |= {"salt": salt} if salt else {}
            save_prompt_cache(str(unfinished), cache, metadata)
            unfinished.chmod(0o600)
            path = self._folder / f"{_digest(packed, salt).hex()}-{_checksum(unfinished):08x}{_SUFFIX}"
            unfinished.rename(path)
        except (OSError, RuntimeError, ValueError) as error:
            logger.warning("kept prompts cannot be written to %s; no more will be written: %s", self._folder, error)
            self._writable = False
            with contextlib.suppress(OSError):
                unfinished.unlink()
            return
        if trimmable:
            self._delete_prefixes(packed, salt)
        self._add(_File(path=path, tokens=packed, trimmable=trimmable, salt=salt))
        self._delete_oldest()

    def _mark(self) -> None:
        private_folder(self._folder)
        mark = self._folder / _MARK
        if not mark.exists():
            mark.write_text(_MARK_TEXT)

    # ── the index ───────────────────────────────────────────────────────────────────────────────────────────────

    def _scan(self) -> None:
        with contextlib.suppress(OSError):
            for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
                if _UNFINISHED_NAME.fullmatch(path.name):
                    _delete_abandoned(path)
                if not _NAME.fullmatch(path.name):
                    continue
                try:
                    self._add(_read_header(path))
                except (OSError, ValueError, KeyError, TypeError) as error:
                    self._discard(path, error)
        self._delete_oldest()

    def _add(self, file: _File) -> None:
        self._files[_digest(file.tokens, file.salt)] = file
        for length, digest in _prefixes(file):
            self._prefixes.setdefault(length, {})[digest] = file

    def _forget(self, file: _File) -> None:
        self._files.pop(_digest(file.tokens, file.salt), None)
        for length, digest in _prefixes(file):
            found = self._prefixes.get(length, {})
            if found.get(digest) is file:
                del found[digest]
                if not found:
                    del self._prefixes[length]

    def _candidates(self, tokens: Sequence[int], longer_than: int, salt: str) -> Iterator[_File]:
        """Files of this salt that share a prefix with `tokens`, the longest match first."""
        packed = array("I", tokens)
        lengths = sorted(length for length in self._prefixes if length < len(tokens))
        digests = dict(zip(lengths, _running_digests(packed, lengths, salt), strict=True))
        for length in reversed(lengths):
            if length <= longer_than:
                return
            file = self._prefixes.get(length, {}).get(digests[length])
            if file is not None and file.salt == salt and file.tokens[:length] == packed[:length]:
                yield file

    # ── files ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _load(self, file: _File) -> list[Any] | None:
        try:
            if _checksum(file.path) != int(file.path.stem.rpartition("-")[2], 16):
                raise ValueError("its checksum does not match")
            cache: list[Any] = load_prompt_cache(str(file.path))  # type: ignore[no-untyped-call]
            # MLX reads arrays of a file lazily: read them now, while an error can still be handled.
            mx.eval([layer.state for layer in cache])
            os.utime(file.path)
        except FileNotFoundError:
            # Another server has deleted it.
            self._forget(file)
            return None
        except Exception as error:
            self._forget(file)
            self._discard(file.path, error)
            return None
        return cache

    def _delete(self, file: _File | None) -> None:
        if file is not None:
            self._forget(file)
            with contextlib.suppress(OSError):
                file.path.unlink()

    def _discard(self, path: Path, error: Exception) -> None:
        logger.warning("a kept prompt cannot be read and is deleted: %s: %s", path, error)
        with contextlib.suppress(OSError):
            path.unlink()

    def _delete_prefixes(self, tokens: array[int], salt: str) -> None:
        """Delete files of shorter prompts, which a longer prompt with a trimmable cache replaces."""
        for file in list(self._candidates(tokens, 0, salt)):
            if file.trimmable and file.tokens == tokens[: len(file.tokens)]:
                self._delete(file)

    def _delete_oldest(self) -> None:
        """Delete the oldest files of all models until they are within the bound."""
        found = []
        with contextlib.suppress(OSError):
            marked = [mark.parent for mark in self._root.glob(f"*/{_MARK}") if _is_mark(mark)]
            for path in (path for folder in marked for path in folder.glob(f"*{_SUFFIX}")):
                if not _NAME.fullmatch(path.name):
                    continue
                with contextlib.suppress(OSError):
                    status = path.stat()
                    found.append((status.st_mtime_ns, status.st_size, path))
        total = sum(size for _, size, _ in found)
        ours = {file.path: file for file in self._files.values()}
        for _, size, path in sorted(found):
            if total <= self._max_bytes:
                return
            with contextlib.suppress(OSError):
                path.unlink()
            total -= size
            if path in ours:
                self._forget(ours[path])


def _prefixes(file: _File) -> Iterator[tuple[int, bytes]]:
    """Lengths at which the file's cache can be used, each with the digest of that many tokens."""
    lengths = list(range(BLOCK, len(file.tokens), BLOCK)) if file.trimmable else []
    lengths.append(len(file.tokens))
    return zip(lengths, _running_digests(file.tokens, lengths, file.salt), strict=True)


def _running_digests(tokens: array[int], lengths: Sequence[int], salt: str) -> Iterator[bytes]:
    """The digest of the first `length` tokens, for each of these ascending lengths."""
    state, start = hashlib.blake2b(digest_size=16, key=salt.encode()), 0
    for length in lengths:
        state.update(tokens[start:length].tobytes())
        start = length
        yield state.copy().digest()


def _digest(tokens: Sequence[int], salt: str) -> bytes:
    return hashlib.blake2b(array("I", tokens).tobytes(), digest_size=16, key=salt.encode()).digest()


def _is_known(cache: Sequence[Any]) -> bool:
    """Whether mlx-lm can restore all layers: it restores its own classes by name, and no others."""
    return all(getattr(mlx_cache, type(layer).__name__, None) is type(layer) for layer in cache)


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            checksum = zlib.crc32(block, checksum)
    return checksum


def _read_header(path: Path) -> _File:
    """The file's metadata, without its arrays."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= _HEADER_BYTES:
            raise ValueError("its header has no length")
        metadata = json.loads(file.read(length))["__metadata__"]
    tokens = array("I", base64.b64decode(metadata["0.tokens"], validate=True))
    if not tokens:
        raise ValueError("it has no tokens")
    return _File(path=path, tokens=tokens, trimmable=metadata["0.trimmable"] == "1", salt=metadata.get("0.salt", ""))


def _is_mark(path: Path) -> bool:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text() == _MARK_TEXT
    return False


def _delete_abandoned(path: Path) -> None:
    """Delete the unfinished file of a killed process. That of a running process is younger, and stays."""
    with contextlib.suppress(OSError):
        if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
            path.unlink()

"""Names, types and shapes of the tensors in a file of weights, read from its header only."""

from __future__ import annotations

import ast
import json
import math
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import attrs

__all__ = ["Tensor", "read_tensors"]

_MAX_HEADER = 100 << 20
"""Bytes. The format's own bound."""
_FLOATING = frozenset({"F64", "F32", "F16", "BF16"})
"""Types that a conversion of the precision changes."""
_NPY_FLOATING = {"<f8": "F64", "<f4": "F32", "<f2": "F16"}
_GGUF_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of the fixed-size value types of a GGUF file's metadata."""
_GGUF_STRING, _GGUF_ARRAY = 8, 9


@attrs.frozen(kw_only=True)
class Tensor:
    """A tensor as it is stored."""

    name: str
    dtype: str
    """Safetensors' name of the type, such as `BF16` or `U32`; `-` where no conversion of the precision changes it."""
    shape: tuple[int, ...]
    nbytes: int

    @property
    def size(self) -> int:
        """Count of elements as stored; a packed tensor has fewer than it stands for."""
        return math.prod(self.shape)

    @property
    def is_floating(self) -> bool:
        return self.dtype in _FLOATING


def read_tensors(file: Path) -> list[Tensor]:
    """The tensors of a `.safetensors`, `.npz` or `.gguf` file.

    Quantised tensors of a `.gguf` file have the type `Q`, and the shape that they stand for.

    Raises:
        OSError: the file cannot be read.
        ValueError: its header is not as the format requires.
    """
    readers = {".safetensors": _safetensors, ".npz": _npz, ".gguf": _gguf}
    try:
        return list(readers[file.suffix.lower()](file))
    except (KeyError, TypeError, AttributeError, IndexError, SyntaxError, struct.error, zipfile.BadZipFile) as error:
        raise ValueError(f"{file}: the header is not readable ({error})") from error


def _safetensors(file: Path) -> Iterator[Tensor]:
    with file.open("rb") as handle:
        (length,) = struct.unpack("<Q", handle.read(8))
        if length > _MAX_HEADER:
            raise ValueError(f"{file}: the header has {length} bytes")
        header = json.loads(handle.read(length))
    for name, entry in header.items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            yield Tensor(name=name, dtype=entry["dtype"], shape=tuple(entry["shape"]), nbytes=end - start)


def _npz(file: Path) -> Iterator[Tensor]:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            with archive.open(member) as handle:
                magic = handle.read(8)
                form, width = ("<H", 2) if magic[6] == 1 else ("<I", 4)
                (length,) = struct.unpack(form, handle.read(width))
                if length > _MAX_HEADER:
                    raise ValueError(f"{file}: the header has {length} bytes")
                header = ast.literal_eval(handle.read(length).decode("latin-1"))
            dtype = _NPY_FLOATING.get(header["descr"], "-")
            name = member.filename.removesuffix(".npy")
            yield Tensor(name=name, dtype=dtype, shape=tuple(header["shape"]), nbytes=member.file_size)


def _gguf(file: Path) -> Iterator[Tensor]:
    """Tensors of a GGUF file, whose bytes are the distances between their offsets."""
    with file.open("rb") as handle:
        magic, version, count, pairs = struct.unpack("<4sIQQ", handle.read(24))
        if magic != b"GGUF" or version < 2:
            raise ValueError(f"{file}: not a GGUF file of version 2 or later")
        for _ in range(pairs):
            _gguf_string(handle)
            _skip_gguf_value(handle, *struct.unpack("<I", handle.read(4)))
        entries = []
        for _ in range(count):
            name = _gguf_string(handle)
            (dimensions,) = struct.unpack("<I", handle.read(4))
            shape = struct.unpack(f"<{dimensions}Q", handle.read(8 * dimensions))
            kind, offset = struct.unpack("<IQ", handle.read(12))
            entries.append((offset, name, {0: "F32", 1: "F16", 30: "BF16"}.get(kind, "Q"), shape))
        end = file.stat().st_size - handle.tell()
    entries.sort()
    ends = [entry[0] for entry in entries[1:]] + [end]
    for (offset, name, dtype, shape), after in zip(entries, ends, strict=True):
        yield Tensor(name=name, dtype=dtype, shape=shape, nbytes=max(0, after - offset))


def _gguf_string(handle: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", handle.read(8))
    if length > _MAX_HEADER:
        raise ValueError(f"a text of {length} bytes")
    return handle.read(length).decode("utf-8", "replace")


def _skip_gguf_value(handle: BinaryIO, kind: int) -> None:
    if kind == _GGUF_STRING:
        _gguf_string(handle)
    elif kind == _GGUF_ARRAY:
        inner, count = struct.unpack("<IQ", handle.read(12))
        if inner in _GGUF_SIZES:
            handle.seek(_GGUF_SIZES[inner] * count, 1)
            return
        for _ in range(count):
            _skip_gguf_value(handle, inner)
    else:
        handle.seek(_GGUF_SIZES[kind], 1)

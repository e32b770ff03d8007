"""Reader of CTranslate2's `model.bin`: named arrays in a flat little-endian file.

The layout is that of CTranslate2's own writer (`python/ctranslate2/specs/model_spec.py`, binary version 6): version,
name of the specification, its revision, the count of variables, then each variable with name, shape, type and bytes,
and last the aliases. Strings have a 16-bit length that counts a closing NUL.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np

__all__ = ["CT2Error", "CT2Model", "read_model"]

KNOWN_VERSIONS = range(3, 7)
"""Binary versions that write aliases, in this layout."""
_DTYPES: Mapping[int, type[np.generic]] = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


class CT2Error(Exception):
    """The file is broken, or holds something unknown to this reader; the message names it."""


@attrs.frozen(kw_only=True)
class CT2Model:
    """The content of the file. The arrays are views of it."""

    spec: str
    revision: int
    variables: Mapping[str, np.ndarray[Any, Any]]

    def __getitem__(self, name: str) -> np.ndarray[Any, Any]:
        """The variable of this name.

        Raises:
            CT2Error: there is none.
        """
        try:
            return self.variables[name]
        except KeyError:
            raise CT2Error(f"the variable {name} is missing") from None


def read_model(file: Path) -> CT2Model:
    """Map the file into memory and index its arrays.

    Raises:
        CT2Error: it is not such a file, or ends too early.
        OSError: it cannot be opened.
    """
    try:
        with file.open("rb") as handle:
            content = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        return _Reader(memoryview(content)).model()
    except (struct.error, UnicodeDecodeError, ValueError) as error:
        raise CT2Error(f"{file.name} is not a readable CTranslate2 model: {error}") from error


class _Reader:
    def __init__(self, content: memoryview) -> None:
        self._content = content
        self._at = 0

    def model(self) -> CT2Model:
        version = self._number("I")
        if version not in KNOWN_VERSIONS:
            raise CT2Error(f"binary version {version} is unknown")
        spec, revision = self._text(), self._number("I")
        variables = dict(self._variable() for _ in range(self._number("I")))
        for _ in range(self._number("I")):
            alias, name = self._text(), self._text()
            if name not in variables:
                raise CT2Error(f"the alias {alias} stands for {name}, which is missing")
            variables[alias] = variables[name]
        return CT2Model(spec=spec, revision=revision, variables=variables)

    def _variable(self) -> tuple[str, np.ndarray[Any, Any]]:
        name = self._text()
        shape = [self._number("I") for _ in range(self._number("B"))]
        kind = self._number("B")
        if kind not in _DTYPES:
            raise CT2Error(f"{name} has the unknown type {kind}")
        array = np.frombuffer(self._bytes(self._number("I")), dtype=_DTYPES[kind])
        return name, array.reshape(shape)

    def _number(self, form: str) -> int:
        (number,) = struct.unpack("<" + form, self._bytes(struct.calcsize("<" + form)))
        return int(number)

    def _text(self) -> str:
        return bytes(self._bytes(self._number("H"))).rstrip(b"\0").decode()

    def _bytes(self, count: int) -> memoryview:
        end = self._at + count
        if end > len(self._content):
            raise CT2Error("the file ends too early")
        piece = self._content[self._at : end]
        self._at = end
        return piece

"""What a step knows of its mask: that it hides nothing but the padding and, in a prompt, what is after a token; and
where each sequence begins."""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from providers.engines.process.mlx_lm_internals.layers import wrap_masks

__all__ = ["MASKS", "StepMasks"]


class StepMasks:
    """The masks of the step that is being built. mlx-lm makes one per step, and passes it to all layers."""

    def __init__(self) -> None:
        self._plain: mx.array | None = None
        self._starts: mx.array | None = None
        self._summands: list[tuple[mx.array, mx.array]] = []

    def follow(self) -> None:
        """Note every mask that mlx-lm's batched cache makes."""
        wrap_masks(self._note)

    def _note(self, mask: mx.array, starts: mx.array) -> None:
        # A copy on the device: reading what the host made takes kernels longer than their work.
        self._plain, self._starts = mask, starts + 0

    def starts(self, mask: Any) -> mx.array | None:
        """(sequences): where the keys of each sequence begin, if a query sees all from there to its own place; None for
        another mask."""
        return self._starts if mask is not None and mask is self._plain else None

    def summands(self, mask: mx.array, dtype: mx.Dtype) -> mx.array:
        """A mask as numbers to add to scores. Computed once for the layers that share the mask."""
        if mask.dtype != mx.bool_:
            return mask
        for known, numbers in self._summands:
            if known is mask and numbers.dtype == dtype:
                return numbers
        numbers = mx.where(mask, mx.array(0, dtype), mx.array(mx.finfo(dtype).min, dtype))
        self._summands = [*self._summands[-1:], (mask, numbers)]
        return numbers


MASKS = StepMasks()
"""Of all models of the process: they compute one after the other, and a mask is recognised by its identity."""

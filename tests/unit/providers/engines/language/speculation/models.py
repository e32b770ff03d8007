"""Models whose output repeats itself or does not, and what engines with and without speculation are compared by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx

from providers.chat.types import SamplingParams, TokenPrompt
from providers.engines.language.speculation.step import Tally
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.client import Answer
from tests.unit.providers.engines.inprocess import SteppedEngine

TOKENS = 120
NEVER = 270
"""The id of the end, which is in no text and is never drawn."""
SEEDED = SamplingParams(temperature=0.7, top_p=0.9, seed=11)
PROMPT = TokenPrompt([5, 80, 17, 42, 9, 200, 33, 5, 80, 17])


def write_model(folder: Path, *, memory: bool, **changes: Any) -> Path:
    """A tiny model that ends on request.

    Without memory its next token depends only on the last one, so that greedy output soon repeats itself. With memory
    it depends on all tokens before.
    """
    tiny.write_folder(folder, tie_word_embeddings=False, **{"eos_token_id": [NEVER], **changes})
    file = str(folder / "model.safetensors")
    weights: dict[str, mx.array] = dict(mx.load(file).items())  # type: ignore[union-attr]
    for name in weights:
        if not memory and name.endswith(("o_proj.weight", "down_proj.weight")):
            weights[name] = mx.zeros_like(weights[name])
    weights["lm_head.weight"][len(tiny.vocabulary()) :] = 0.0
    weights["lm_head.weight"][tiny.END] = 0.0
    mx.eval(weights)
    mx.save_safetensors(file, weights, metadata={"format": "mlx"})
    return folder


def tally(engine: SteppedEngine) -> Tally:
    speculation = engine.engine._speculation
    assert speculation is not None
    return speculation.tally


def outcome(answer: Answer) -> Any:
    assert answer.finished is not None, answer.failed
    return answer.text, answer.finished.finish_reason, answer.finished.usage.completion_tokens

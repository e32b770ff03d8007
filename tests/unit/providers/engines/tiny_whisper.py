"""A multilingual Whisper of random weights, and its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_audio.stt.models.whisper.whisper import ModelDimensions

from providers.engines.transcription.loading import Whisper

WIDTH, HEADS, LAYERS, MELS = 16, 2, 1, 80
VOCABULARY = 51865
"""The vocabulary of the multilingual models; that of the English ones has one token less."""


def random_whisper(vocabulary: int = VOCABULARY) -> Any:
    mx.random.seed(7)
    dims = ModelDimensions(
        n_mels=MELS,
        n_audio_ctx=1500,
        n_audio_state=WIDTH,
        n_audio_head=HEADS,
        n_audio_layer=LAYERS,
        n_vocab=vocabulary,
        n_text_ctx=448,
        n_text_state=WIDTH,
        n_text_head=HEADS,
        n_text_layer=LAYERS,
    )
    model = Whisper(dims, mx.float32)
    mx.eval(model.parameters())
    return model


def write_folder(folder: Path, vocabulary: int = VOCABULARY) -> Path:
    """An `mlx-community/whisper-*` folder."""
    model = random_whisper(vocabulary)
    mx.save_safetensors(str(folder / "weights.safetensors"), dict(tree_flatten(model.parameters())))
    config = {"model_type": "whisper", **vars(model.dims)}
    (folder / "config.json").write_text(json.dumps(config))
    return folder

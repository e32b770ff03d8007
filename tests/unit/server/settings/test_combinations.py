"""Options that have no effect with others, or that contradict each other."""

from __future__ import annotations

import pytest

from server.settings.settings import Settings, SettingsError
from tests.unit.server.settings.test_settings import HOSTFILES


def test_options_of_language_models_are_refused_for_others() -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.load({"model_type": "echo", "prefix_cache_dir": "/tmp"}, {})
    assert str(refused.value) == "--prefix-cache-dir is for models of type lm or multimodal, not echo"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kv_bits": "8", "max_kv_size": "64"}, "--kv-bits cannot be combined with --max-kv-size: a cache of"),
        (
            {"kv_bits": "8", "prefix_cache_dir": "/tmp"},
            "--kv-bits cannot be combined with --prefix-cache-dir: quantized",
        ),
        ({"draft_model": "a/b", "prompt_lookup": "4"}, "--draft-model cannot be combined with --prompt-lookup"),
        (
            {"hostfile": str(HOSTFILES / "cli.json"), "tensor_parallel": "3"},
            "--hostfile must name as many hosts as --tensor-parallel: 3, not 2",
        ),
        (
            {"hostfile": str(HOSTFILES / "cli.json"), "pipeline": "3"},
            "--hostfile must name as many hosts as --pipeline: 3, not 2",
        ),
        (
            {"tensor_parallel": "2", "pipeline": "2"},
            "--pipeline cannot be combined with --tensor-parallel: MLX connects one group",
        ),
        (
            {"hostfile": str(HOSTFILES / "cli.json"), "tensor_parallel": "2", "replicas": "2"},
            "--hostfile cannot be combined with --replicas: every replica would use the same hosts",
        ),
        (
            {"hostfile": str(HOSTFILES / "cli.json"), "pipeline": "2", "devices": "0,1"},
            "--hostfile cannot be combined with --devices: the processes of a host take its devices in turn",
        ),
        (
            {"tensor_parallel": "2", "model_type": "multimodal", "model_path": "a/b"},
            "--tensor-parallel is for models of type lm, not multimodal",
        ),
        ({"prompt_lookup": "4", "max_kv_size": "64"}, "--prompt-lookup cannot be combined with --max-kv-size"),
        ({"config_name": "dev"}, "--config-name is for models of type image-generation or image-edit, not lm"),
        ({"lora_paths": "/,/usr", "lora_scales": "1"}, "--lora-scales must be as many numbers as there are adapters"),
        (
            {"model_type": "echo", "prompt_lookup": "4"},
            "--prompt-lookup is for models of type lm or multimodal, not echo",
        ),
        (
            {"model_type": "multimodal", "model_path": "a/b", "lora_paths": "/tmp"},
            "--lora-paths is for models of type lm or image-generation or image-edit, not multimodal",
        ),
    ],
)
def test_options_that_exclude_each_other_are_refused_with_the_reason(options: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.load(options, {})
    assert str(refused.value).startswith(message)

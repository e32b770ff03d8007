"""What to serve: one `ModelSpec` a model, fixed at start and picklable, so that it can reach the worker."""

from __future__ import annotations

from typing import Literal

import attrs

from providers.capabilities import ModelType

__all__ = ["Dtype", "ModelSpec"]

Dtype = Literal["auto", "float32", "float16", "bfloat16"]


@attrs.frozen(kw_only=True)
class ModelSpec:
    """A model to serve and its limits. Sizes are bytes, times seconds."""

    name: str
    """Id that clients see; may contain `/`."""
    path: str
    """Folder, `.gguf` file, Hugging Face id, or `embedded:<id>`; empty for `echo`."""
    model_type: ModelType = "lm"
    context_length: int = 32768
    """Upper bound; the model's own limit applies when it is lower."""
    max_concurrency: int = 8
    queue_size: int = 100
    queue_timeout: float = 300.0
    lazy: bool = False
    """Loaded by the first request for it, which waits; the others are loaded at start."""
    warmup: bool = True
    dtype: Dtype = "auto"
    quantize: int | None = None
    """Bits to quantise the weights to at load."""
    trust_remote_code: bool = False
    memory_limit: int | None = None
    prefix_cache_bytes: int | None = None
    """Bound of the prefix cache; None picks one from the machine's memory, 0 turns it off."""
    prefix_cache_dir: str | None = None
    """Folder for prompts that are to outlive eviction and the process; None: they do not."""
    prefix_cache_disk_bytes: int = 10_000_000_000
    """Bound of that folder."""
    lora_paths: tuple[str, ...] = ()
    """Folders or Hugging Face ids of adapters, each added to the weights."""
    lora_scales: tuple[float, ...] = ()
    """One factor an adapter, on top of its own scale; empty: 1 for each."""
    kv_bits: int | None = None
    """Bits that keys and values are kept in; None: as they are computed."""
    kv_group_size: int = 64
    """Values that share one scale there."""
    max_kv_size: int | None = None
    """Tokens a layer's cache holds; older ones are forgotten. None: the whole context."""
    draft_model: str | None = None
    """As `path`: a smaller model that proposes tokens while one request is alone."""
    num_draft_tokens: int = 3
    """Tokens it proposes at once."""
    prompt_lookup: int | None = None
    """Tokens that are proposed at once from what the conversation said before; None: none are."""
    tool_call_parser: str = "auto"
    """Which syntax of calls answers are read for: `auto`, `none`, or a name that the engine knows."""
    reasoning_parser: str = "auto"
    """Which markup of thoughts answers are read for; as above."""

    @property
    def ending_seconds(self) -> float:
        """How long an engine may take to end: with a folder for its prompts, some may be left to write."""
        return 1.0 if self.prefix_cache_dir is None else 3.0

"""Models to serve: one `ModelSpec` per model, fixed at start and picklable, so that it reaches the worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import attrs

from providers.capabilities import ModelType
from providers.chat.types import SamplingParams

__all__ = ["DecodeStep", "Dtype", "LoadPolicy", "ModelSpec"]

Dtype = Literal["auto", "float32", "float16", "bfloat16"]
DecodeStep = Literal["auto", "mlx-lm", "own"]
LoadPolicy = Literal["wait", "refuse"]

_NOT_THE_ENGINES = ("aliases", "lazy", "load_policy", "pin", "ttl")
"""Fields that an engine does not know."""


@attrs.frozen(kw_only=True)
class ModelSpec:
    """A model to serve and its limits. Sizes are bytes, times seconds."""

    name: str
    """Id that clients see; may contain `/`."""
    aliases: tuple[str, ...] = ()
    """Further ids to which the model answers; no other model has them."""
    path: str
    """Folder, `.gguf` file, Hugging Face id with or without `@revision`, or `embedded:<id>`; empty for `echo`."""
    model_type: ModelType = "lm"
    context_length: int = 32768
    """Upper bound; the model's own limit applies when it is lower."""
    max_concurrency: int = 8
    """Requests in one engine together."""
    replicas: int = 1
    """Engines of the model, each with weights and a prefix cache of its own."""
    loading_together: int | None = None
    """Of a replica: how many of them are not in memory as it loads, itself included; None: all."""
    devices: tuple[int, ...] = ()
    """CUDA devices of the replicas, which take them in turn, one for each rank; empty: no engine is bound to one."""
    queue_size: int = 100
    queue_timeout: float = 300.0
    watchdog_timeout: float = 120.0
    """An engine that has work and finishes no unit of it for this long is killed and restarted; 0: never."""
    lazy: bool = False
    """Load the model for its first request, which waits, instead of at start."""
    load_policy: LoadPolicy = "wait"
    """What a request gets while the model loads: it waits, or is refused with the advice to retry."""
    pin: bool = False
    """Neither `ttl` nor another model's need of memory unloads the model."""
    ttl: float | None = None
    """Time without a request after which the model is unloaded; None: never."""
    warmup: bool = True
    grammar_timeout: float = 10.0
    """Seconds that one request's schemas and grammars may take to compile; 0: no limit."""
    max_tokens: int | None = None
    """Tokens of an answer whose request sets no limit; None: the rest of the context."""
    sampling: SamplingParams = attrs.field(factory=SamplingParams)
    """Values for requests that set none; None in a field: the model's generation_config applies."""
    chat_template: str | None = None
    """Jinja template instead of the model's own."""
    chat_template_args: Mapping[str, Any] = attrs.field(factory=dict, hash=False)
    """Variables for the template; those of a request override them."""
    prefill_step_size: int | None = None
    """Tokens of a prompt per step at most; None: as the device's speed suggests."""
    lexicon: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    """Phonemes by word, for a model that speaks; those of a request override them."""
    dtype: Dtype = "auto"
    quantize: int | None = None
    """Bits per weight to quantise to at load; None: as shipped."""
    trust_remote_code: bool = False
    max_memory: int | None = None
    """Memory that MLX may use for the model; None: MLX's own limit."""
    wired_limit: int | None = None
    """Memory of the model that macOS keeps wired; None: MLX's own limit."""
    prefix_cache_bytes: int | None = None
    """Bound of the prefix cache; None derives one from the machine's memory, 0 turns the cache off."""
    prefix_cache_dir: str | None = None
    """Folder that keeps prompts beyond eviction and the process; None: prompts are not kept."""
    prefix_cache_disk_bytes: int = 10_000_000_000
    """Bound of `prefix_cache_dir`."""
    lora_paths: tuple[str, ...] = ()
    """Folders or Hugging Face ids of adapters, each added to the weights."""
    lora_scales: tuple[float, ...] = ()
    """One factor per adapter, on top of its own scale; empty: 1 for each."""
    config_name: str | None = None
    """Which image model the weights are, by mflux's names; None: as the name of the path says."""
    image_steps: int | None = None
    """Denoising steps of an image whose request sets none; None: the model's own number."""
    image_guidance: float | None = None
    """Guidance of an image whose request sets none; None: the model's own."""
    kv_bits: int | None = None
    """Bits per cached key and value; None: as computed."""
    kv_group_size: int = 64
    """Cached values that share one quantisation scale."""
    max_kv_size: int | None = None
    """Tokens that a layer's cache holds; older ones are dropped. None: the whole context."""
    draft_model: str | None = None
    """As `path`: a smaller model that proposes tokens while there is only one request."""
    num_draft_tokens: int = 3
    """Tokens that it proposes per step."""
    decode_step: DecodeStep = "auto"
    """How a language model computes one token of every sequence; `auto` chooses by the device."""
    prompt_lookup: int | None = None
    """Tokens proposed per step from the conversation's earlier text; None: none."""
    tensor_parallel: int = 1
    """Processes that share a language model, each with a part of every layer."""
    pipeline: int = 1
    """Processes that share a language model, each with some of its layers."""
    hostfile: str | None = None
    """MLX's hostfile, which names the machine of each of them; None: all run on this one."""
    tool_call_parser: str = "auto"
    """Syntax of tool calls in the output: `auto`, `none`, or a name that the engine knows."""
    reasoning_parser: str = "auto"
    """Markup of reasoning in the output: `auto`, `none`, or a name that the engine knows."""

    def same_engine(self, other: ModelSpec) -> bool:
        """Whether the other differs only in its aliases and in when it is loaded and unloaded."""
        return other.loaded_as(self) == self

    def loaded_as(self, other: ModelSpec) -> ModelSpec:
        """The spec with the other's aliases, and loaded and unloaded when the other is."""
        return attrs.evolve(self, **{name: getattr(other, name) for name in _NOT_THE_ENGINES})

    @property
    def of_replica(self) -> ModelSpec:
        """The spec of one replica: its part of what bounds the memory of all of them."""
        if self.replicas == 1:
            return self
        parts = {name: getattr(self, name) for name in ("max_memory", "wired_limit")}
        divided = {name: size // self.replicas for name, size in parts.items() if size is not None}
        return attrs.evolve(self, **divided)

    @property
    def replicas_per_device(self) -> int:
        """Replicas that share one memory, at most."""
        together = max(1, len(self.devices) // self.ranks)
        return -(-self.replicas // together)

    @property
    def ranks(self) -> int:
        """Processes that share the model."""
        return self.tensor_parallel * self.pipeline

    @property
    def ending_seconds(self) -> float:
        """Seconds that an engine may take to end.

        More with `prefix_cache_dir`, to write the prompts that are left, and for several processes.
        """
        return 1.0 if self.prefix_cache_dir is None and self.ranks == 1 else 3.0

"""A name for everything on which a kept prompt's keys and values depend."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Iterable
from pathlib import Path

import attrs

from providers.spec import ModelSpec

__all__ = ["model_identity"]

_IRRELEVANT = frozenset(
    {
        "name",
        "aliases",
        "path",
        "context_length",
        "max_concurrency",
        "replicas",
        "loading_together",
        "devices",
        "queue_size",
        "queue_timeout",
        "watchdog_timeout",
        "grammar_timeout",
        "lazy",
        "load_policy",
        "pin",
        "ttl",
        "warmup",
        "trust_remote_code",
        "max_memory",
        "wired_limit",
        "max_tokens",
        "sampling",
        "chat_template",
        "chat_template_args",
        "prefill_step_size",
        "prefix_cache_bytes",
        "prefix_cache_dir",
        "prefix_cache_disk_bytes",
        "tool_call_parser",
        "reasoning_parser",
        "draft_model",
        "num_draft_tokens",
        "prompt_lookup",
        "tensor_parallel",
        "pipeline",
        "hostfile",
    }
)
"""Fields of a spec that do not change what is computed. All others may."""
_READ = (".json", ".jinja", ".txt", ".model", ".tiktoken")
"""Small files: they are compared by content, the others by size and time."""


def model_identity(folder: Path, spec: ModelSpec, precision: str, part: str = "") -> str:
    """Forty hexadecimal digits that identify weights, adapters, tokenizer, chat template, precision and libraries.

    `precision`: that of the loaded weights, in words. `part`: the part of the model that this process has, in words;
    empty: all of it.
    """
    state = hashlib.blake2b(digest_size=20)
    settings = {name: value for name, value in attrs.asdict(spec).items() if name not in _IRRELEVANT}
    libraries = ("mlx-lm", "mlx-vlm") if spec.model_type == "multimodal" else ("mlx-lm",)
    versions = " ".join(map(importlib.metadata.version, libraries))
    state.update(repr((versions, precision, sorted(settings.items()))).encode())
    state.update(part.encode())
    for place in (folder, *map(Path, getattr(spec, "lora_paths", ()))):
        for path in _files(place):
            status = path.stat()
            state.update(f"\n{path.name} {status.st_size} ".encode())
            if path.suffix in _READ:
                state.update(hashlib.blake2b(path.read_bytes()).digest())
            else:
                state.update(str(status.st_mtime_ns).encode())
    return state.hexdigest()


def _files(folder: Path) -> Iterable[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []

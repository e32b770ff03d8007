"""A name for everything that a kept prompt's numbers depend on."""

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
        "path",
        "context_length",
        "max_concurrency",
        "queue_size",
        "queue_timeout",
        "lazy",
        "warmup",
        "trust_remote_code",
        "memory_limit",
        "prefix_cache_bytes",
        "prefix_cache_dir",
        "prefix_cache_disk_bytes",
        "tool_call_parser",
        "reasoning_parser",
        "draft_model",
        "num_draft_tokens",
        "prompt_lookup",
    }
)
"""Of a spec: whatever else it says may change what is computed."""
_READ = (".json", ".jinja", ".txt", ".model", ".tiktoken")
"""Files that are small: told apart by their content, the others by their size and time."""


def model_identity(folder: Path, spec: ModelSpec, precision: str) -> str:
    """Forty hexadecimal digits that change with the weights, the adapters, the tokenizer, the chat template, the
    precision and mlx-lm. `precision`: in words, as the model was loaded."""
    state = hashlib.blake2b(digest_size=20)
    settings = {name: value for name, value in attrs.asdict(spec).items() if name not in _IRRELEVANT}
    state.update(repr((importlib.metadata.version("mlx-lm"), precision, sorted(settings.items()))).encode())
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

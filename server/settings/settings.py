"""The server's configuration, from the command line, the environment, a YAML file and the defaults, in this order.

`Settings` is plain data, frozen and picklable, so that the worker process receives it unchanged. Everything about
single options (names, parsing, help) is in `server.settings.options`; this module gathers their values and checks
combinations.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs

from providers.capabilities import MODALITIES, Modality
from providers.chat.types import SamplingParams
from providers.embeddings.types import Truncation
from providers.spec import ModelSpec
from server.settings.options import CONFIG, OPTIONS, OPTIONS_BY_NAME, SAMPLING_OPTIONS, Option
from server.settings.parsers import RateUnit
from server.settings.sources import ONE_MODEL_ONLY, Raw, SettingsError, from_command_line, from_environ, read_file

__all__ = ["Settings", "SettingsError"]

_FOR_EVERY_DEFAULT = (
    "queue_size",
    "queue_timeout",
    "watchdog_timeout",
    "mlx_warmup",
    "lexicon",
    "ttl",
    "load_policy",
)
"""Options that also apply to the embedded models served beside the chat model."""

_LANGUAGE_ONLY = (
    "prefix_cache_dir",
    "prefix_cache_disk_size",
    "lora_paths",
    "lora_scales",
    "chat_template_file",
    "chat_template_args",
    "prefill_step_size",
    "kv_bits",
    "kv_group_size",
    "max_kv_size",
    "draft_model",
    "num_draft_tokens",
    "prompt_lookup",
)
"""Options that apply only to language models."""

_SAMPLING = tuple(option.name for option in SAMPLING_OPTIONS if option.name != "max_tokens")

_NEEDS = {
    "prefix_cache_disk_size": "prefix_cache_dir",
    "lora_scales": "lora_paths",
    "kv_group_size": "kv_bits",
    "num_draft_tokens": "draft_model",
}
"""Options that have an effect only together with another option."""

_ROTATES = "rejected proposals must be removed from the cache, and a cache of bounded size cannot be shortened"
_APART = {
    ("kv_bits", "max_kv_size"): "a cache of bounded size cannot be quantized",
    ("kv_bits", "prefix_cache_dir"): "quantized caches cannot be restored from a file",
    ("draft_model", "prompt_lookup"): "only one of them can propose tokens",
    ("draft_model", "max_kv_size"): _ROTATES,
    ("prompt_lookup", "max_kv_size"): _ROTATES,
}
"""Options that exclude each other, and the reason for the message."""


@attrs.frozen(kw_only=True)
class Settings:
    """The whole configuration of one server. Sizes are bytes, times seconds."""

    models: tuple[ModelSpec, ...] = attrs.field(validator=attrs.validators.min_len(1))
    """At least one; their names and aliases are unique."""
    host: str = "localhost"
    port: int = 8000
    """0 chooses a free port."""
    api_key: str | None = attrs.field(default=None, repr=False)
    api_key_file: tuple[str, ...] = attrs.field(default=(), repr=False)
    """The keys in the file."""
    key_on_command_line: bool = False
    """Every user of the machine can read it there."""
    rate_limit: tuple[RateUnit, int] | None = None
    """Requests to models in a unit of time, for each key or address."""
    cors_origins: tuple[str, ...] = ("*",)
    allowed_hosts: tuple[str, ...] = ()
    memory_limit: int | None = None
    """Of all models together; None: no limit."""
    max_body_bytes: int = 32_000_000
    max_upload_bytes: int = 200_000_000
    """Maximum size of one file in a form; forms have no other bound."""
    max_body_total: int = 512_000_000
    """Of all requests together."""
    body_timeout: float = 30.0
    body_min_rate: int = 1_000
    """Bytes of a body that prolong its time by a second."""
    write_timeout: float = 120.0
    max_connections: int = 4_096
    max_audio_seconds: int = 86_400
    """Longest recording to transcribe; 0 for no limit."""
    strict_parameters: bool = False
    """True: refuse parameters without effect instead of noting them."""
    max_speech_characters: int | None = None
    """Longest text to speak; 0 for no limit, None for the defaults."""
    embeddings_truncate: Truncation = "none"
    """Where inputs over an embedding model's context are cut."""
    heartbeat_interval: float = 15.0
    grace_period: float = 10.0
    """Time that running requests have to finish after SIGTERM."""
    response_store: str = ":memory:"
    """SQLite file of stored responses."""
    response_store_ttl: float = 86_400.0
    response_store_size: int = 256_000_000
    data_dir: str | None = None
    """Folder of files and vector stores; None: a temporary one."""
    data_size: int = 4_000_000_000
    log_level: str = "info"
    """`debug`, `info`, `warning` or `error`."""
    log_format: Literal["console", "json"] = "console"
    log_file: str | None = None
    """File to which the log is also written."""
    log_bodies: bool = False
    """True: log the bodies of requests and responses."""
    trace_content: bool = False
    """True: record prompts and answers in traces."""
    notes: tuple[str, ...] = ()
    """Given options without effect, one sentence each; they are logged at start."""

    @property
    def api_keys(self) -> tuple[str, ...]:
        """All keys that requests may send; empty: none is required."""
        return self.api_key_file if self.api_key is None else (self.api_key, *self.api_key_file)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the environment and the file named by `CONFIG_FILE`.

        Raises:
            SettingsError: a value cannot be used.
        """
        return cls.load(environ=environ)

    @classmethod
    def load(cls, cli: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None) -> Settings:
        """Gather the values of all options. `cli` maps option names to the typed values; None means not given.

        Raises:
            SettingsError: a value cannot be used, or a key of the file is unknown.
        """
        notes: list[str] = []
        cli_layer = from_command_line(cli or {}, notes)
        env_layer = from_environ(os.environ if environ is None else environ)
        over = {**env_layer, **cli_layer}
        top, entries = read_file(over.pop(CONFIG.name, None), notes)
        server = _parsed({**top, **over}, "server")
        if entries is None:
            models = _one_model_or_the_defaults({**top, **over})
        else:
            for name in ONE_MODEL_ONLY:
                if name in over:
                    raise SettingsError(f"{over[name].where} cannot be combined with a `models` list; set it there")
            models = tuple(_model_spec({**top, **entry, **over}) for entry in entries)
        _refuse_duplicates(models)
        return cls(
            models=tuple(_within(server["memory_limit"], model) for model in models),
            max_body_bytes=server.pop("max_body_size"),
            max_upload_bytes=server.pop("max_upload"),
            key_on_command_line="api_key" in cli_layer,
            notes=tuple(notes),
            **server,
        )


def _parse(option: Option, raw: Raw) -> Any:
    try:
        value = option.parse(raw.value)
    except ValueError as error:
        raise SettingsError(f"{raw.where} {error}") from None
    if not option.supported and value != option.default:
        raise SettingsError(f"{raw.where} is not supported by this version")
    return value


def _parsed(raws: Mapping[str, Raw], scope: str) -> dict[str, Any]:
    """The value, parsed or default, of every supported option of the scope. Unsupported options are refused if set."""
    values: dict[str, Any] = {}
    for option in OPTIONS:
        if option.scope != scope or option is CONFIG:
            continue
        raw = raws.get(option.name)
        value = option.default if raw is None else _parse(option, raw)
        if option.supported:
            values[option.name] = value
    return values


def _one_model_or_the_defaults(raws: Mapping[str, Raw]) -> tuple[ModelSpec, ...]:
    """The chosen model, or the embedded ones if no option chooses a model.

    The embedded chat model comes first and takes every model option. The other embedded models load on first use and
    take only the options in `_FOR_EVERY_DEFAULT`.
    """
    chosen = _model_spec(raws)
    if any(name in raws for name in ("model_path", "model_type")):
        return (chosen,)
    shared = {name: raws[name] for name in _FOR_EVERY_DEFAULT if name in raws}
    lazy = [name for name, row in MODALITIES.items() if row.weights is not None and name != chosen.model_type]
    specs = [_model_spec({**shared, "model_type": Raw(model_type, "the default")}) for model_type in lazy]
    return (chosen, *(attrs.evolve(spec, lazy=True) for spec in specs))


def _model_spec(raws: Mapping[str, Raw]) -> ModelSpec:
    values = _parsed(raws, "model")
    row = MODALITIES[values["model_type"]]
    given = values["model_path"]
    if given is None:
        path = _embedded(row)
    else:
        locate = _echo_settings if row.engine is None else _located
        path = locate(raws["model_path"].where, given)
    _check_combinations(raws, values)
    name = values["served_model_name"] or (row.model_type if row.engine is None else _default_name(path))
    return ModelSpec(
        name=name,
        aliases=tuple(alias for alias in values["aliases"] if alias != name),
        path=path,
        model_type=row.model_type,
        context_length=values["context_length"],
        max_concurrency=values["max_concurrency"] or row.max_concurrency,
        queue_size=values["queue_size"],
        queue_timeout=values["queue_timeout"],
        watchdog_timeout=values["watchdog_timeout"],
        warmup=values["mlx_warmup"],
        dtype=values["dtype"],
        quantize=values["quantize"],
        trust_remote_code=values["trust_remote_code"],
        max_memory=values["max_memory"],
        wired_limit=values["wired_limit"],
        prefix_cache_bytes=values["prefix_cache_size"],
        prefix_cache_dir=values["prefix_cache_dir"],
        prefix_cache_disk_bytes=values["prefix_cache_disk_size"],
        lora_paths=_adapters(raws, values),
        lora_scales=values["lora_scales"] or (),
        lazy=values["on_demand"],
        load_policy=values["load_policy"],
        pin=values["pin"],
        ttl=values["ttl"],
        max_tokens=values["max_tokens"],
        sampling=SamplingParams(**{name: values[name] for name in _SAMPLING}),
        chat_template=values["chat_template_file"],
        chat_template_args=values["chat_template_args"] or {},
        lexicon=values["lexicon"] or {},
        prefill_step_size=values["prefill_step_size"],
        kv_bits=values["kv_bits"],
        kv_group_size=values["kv_group_size"],
        max_kv_size=values["max_kv_size"],
        draft_model=values["draft_model"] and _located(raws["draft_model"].where, values["draft_model"]),
        num_draft_tokens=values["num_draft_tokens"],
        prompt_lookup=values["prompt_lookup"],
        tool_call_parser=values["tool_call_parser"],
        reasoning_parser=values["reasoning_parser"],
    )


def _check_combinations(raws: Mapping[str, Raw], values: Mapping[str, Any]) -> None:
    """Check combinations of options.

    Raises:
        SettingsError: an option would have no effect with the others, or two of them contradict each other.
    """
    given = [name for name in _LANGUAGE_ONLY if name in raws]
    if given and values["model_type"] != "lm":
        where = raws[given[0]].where
        raise SettingsError(f"{where} is for models of type lm, not {values['model_type']}")
    for name, needed in _NEEDS.items():
        if name in raws and needed not in raws:
            raise SettingsError(f"{raws[name].where} has no effect without {OPTIONS_BY_NAME[needed].flag}")
    for (name, other), reason in _APART.items():
        if name in raws and other in raws:
            flag = OPTIONS_BY_NAME[other].flag
            raise SettingsError(f"{raws[name].where} cannot be combined with {flag}: {reason}")
    paths, scales = values["lora_paths"] or (), values["lora_scales"]
    if scales is not None and len(scales) != len(paths):
        where, counts = raws["lora_scales"].where, f"{len(scales)} for {len(paths)}"
        raise SettingsError(f"{where} must be as many numbers as there are adapters, not {counts}")


def _adapters(raws: Mapping[str, Raw], values: Mapping[str, Any]) -> tuple[str, ...]:
    """Absolute paths of the adapters' folders."""
    found = []
    for path in values["lora_paths"] or ():
        folder = Path(path).expanduser()
        if not folder.is_dir():
            raise SettingsError(f"{raws['lora_paths'].where}: there is no folder {path}")
        found.append(str(folder.resolve()))
    return tuple(found)


def _embedded(row: Modality) -> str:
    """The `embedded:` path of this type's embedded model; empty for a type that needs no weights.

    Raises:
        SettingsError: this type has no embedded model.
    """
    if row.engine is None:
        return ""
    if row.weights is None:
        raise SettingsError(f"model type {row.model_type!r} has no embedded model: name one with --model-path")
    return f"embedded:{row.weights}"


def _located(where: str, path: str) -> str:
    """An absolute local path, or the unchanged Hugging Face or embedded id.

    A path that can only be local (`/…`, `./…`, `../…`, `~…`) must exist. `org/name` is local if that folder exists.
    """
    local = Path(path).expanduser()
    if local.exists():
        return str(local.resolve())
    if path.startswith(("/", "./", "../", "~")) or path in {".", ".."}:
        raise SettingsError(f"{where}: {path} does not exist")
    return path


def _echo_settings(where: str, path: str) -> str:
    """Check the echo model's path, which holds its behaviour, such as `delay=0.05`, instead of a place."""
    from providers.echo.provider import EchoSettings  # imported here: it imports asyncio and telemetry

    try:
        EchoSettings.parse(path)
    except ValueError as error:
        raise SettingsError(f"{where}: {error}") from None
    return path


def _default_name(path: str) -> str:
    if path.startswith("embedded:"):
        return path.removeprefix("embedded:")
    if not path.startswith("/"):
        return path
    return Path(path).stem if path.lower().endswith(".gguf") else Path(path).name


def _within(memory_limit: int | None, model: ModelSpec) -> ModelSpec:
    """The model with no more memory than the whole server has."""
    if memory_limit is None or (model.max_memory is not None and model.max_memory <= memory_limit):
        return model
    return attrs.evolve(model, max_memory=memory_limit)


def _refuse_duplicates(models: tuple[ModelSpec, ...]) -> None:
    names: dict[str, ModelSpec] = {}
    for model in models:
        if model.name in names:
            raise SettingsError(f"two models are named {model.name!r}; give each its own served_model_name")
        names[model.name] = model
    for model in models:
        for alias in model.aliases:
            if alias in names:
                raise SettingsError(f"the alias {alias!r} of {model.name!r} also names {names[alias].name!r}")
            names[alias] = model

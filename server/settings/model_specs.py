"""One model's options, parsed and checked, as a `ModelSpec`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from providers.capabilities import MODALITIES, Modality, ModelType
from providers.chat.types import SamplingParams
from providers.devices import check_devices
from providers.spec import ModelSpec
from server.settings.options import CONFIG, OPTIONS, OPTIONS_BY_NAME, SAMPLING_OPTIONS, Option
from server.settings.path_parsers import hosts
from server.settings.sources import Raw, SettingsError

__all__ = ["model_spec", "parsed"]

_LANGUAGE_ONLY = (
    "prefix_cache_dir",
    "prefix_cache_disk_size",
    "chat_template_file",
    "chat_template_args",
    "prefill_step_size",
    "kv_bits",
    "kv_group_size",
    "max_kv_size",
    "decode_step",
    "draft_model",
    "num_draft_tokens",
    "prompt_lookup",
)
"""Options that apply only to language models."""

_IMAGE_ONLY = ("config_name", "image_steps", "image_guidance")
_DIVIDED = ("tensor_parallel", "pipeline", "hostfile")
_ADAPTERS = ("lora_paths", "lora_scales")
_IMAGE_TYPES: tuple[ModelType, ...] = ("image-generation", "image-edit")

_TYPES: tuple[tuple[tuple[str, ...], tuple[ModelType, ...]], ...] = (
    (_LANGUAGE_ONLY, ("lm", "multimodal")),
    (_IMAGE_ONLY, _IMAGE_TYPES),
    (_DIVIDED, ("lm",)),
    (_ADAPTERS, ("lm", *_IMAGE_TYPES)),
)
"""Options, and the model types that they apply to."""

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

_OF_ONE_MACHINE = {
    "replicas": "every replica would use the same hosts",
    "devices": "the processes of a host take its devices in turn",
}
"""Options that do not apply to a model on several hosts, and the reason for the message."""


def _parse(option: Option, raw: Raw) -> Any:
    try:
        return option.parse(raw.value)
    except ValueError as error:
        raise SettingsError(f"{raw.where} {error}") from None


def parsed(raws: Mapping[str, Raw], scope: str) -> dict[str, Any]:
    """The value, parsed or default, of every option of the scope."""
    values: dict[str, Any] = {}
    for option in OPTIONS:
        if option.scope != scope or option is CONFIG:
            continue
        raw = raws.get(option.name)
        values[option.name] = option.default if raw is None else _parse(option, raw)
    return values


def model_spec(raws: Mapping[str, Raw]) -> ModelSpec:
    values = parsed(raws, "model")
    given = values["model_path"]
    if "model_type" not in raws:
        values["model_type"] = _embedded_type(given) or values["model_type"]
    row = MODALITIES[values["model_type"]]
    if given is None:
        path = _embedded(row)
    else:
        locate = _echo_settings if row.engine is None else _located
        path = locate(raws["model_path"].where, given)
    _check_combinations(raws, values)
    replicas = _replicas(raws, values, row)
    name = values["served_model_name"] or (row.model_type if row.engine is None else _default_name(path))
    return ModelSpec(
        name=name,
        aliases=tuple(alias for alias in values["aliases"] if alias != name),
        path=path,
        model_type=row.model_type,
        context_length=values["context_length"],
        max_concurrency=values["max_concurrency"] or row.max_concurrency,
        replicas=replicas,
        devices=values["devices"],
        queue_size=values["queue_size"],
        queue_timeout=values["queue_timeout"],
        watchdog_timeout=values["watchdog_timeout"],
        grammar_timeout=values["grammar_timeout"],
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
        config_name=values["config_name"],
        image_steps=values["image_steps"],
        image_guidance=values["image_guidance"],
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
        decode_step=values["decode_step"],
        draft_model=values["draft_model"] and _located(raws["draft_model"].where, values["draft_model"]),
        num_draft_tokens=values["num_draft_tokens"],
        prompt_lookup=values["prompt_lookup"],
        tensor_parallel=values["tensor_parallel"],
        pipeline=values["pipeline"],
        hostfile=values["hostfile"],
        tool_call_parser=values["tool_call_parser"],
        reasoning_parser=values["reasoning_parser"],
    )


def _check_combinations(raws: Mapping[str, Raw], values: Mapping[str, Any]) -> None:
    """Check combinations of options.

    Raises:
        SettingsError: an option would have no effect with the others, or two of them contradict each other.
    """
    for names, types in _TYPES:
        # A value that is the default asks for what is so.
        given = [name for name in names if name in raws and values[name] != OPTIONS_BY_NAME[name].default]
        if given and values["model_type"] not in types:
            where = raws[given[0]].where
            raise SettingsError(f"{where} is for models of type {' or '.join(types)}, not {values['model_type']}")
    for name, needed in _NEEDS.items():
        if name in raws and needed not in raws:
            raise SettingsError(f"{raws[name].where} has no effect without {OPTIONS_BY_NAME[needed].flag}")
    for (name, other), reason in _APART.items():
        if name in raws and other in raws:
            flag = OPTIONS_BY_NAME[other].flag
            raise SettingsError(f"{raws[name].where} cannot be combined with {flag}: {reason}")
    _check_ranks(raws, values)
    paths, scales = values["lora_paths"] or (), values["lora_scales"]
    if scales is not None and len(scales) != len(paths):
        where, counts = raws["lora_scales"].where, f"{len(scales)} for {len(paths)}"
        raise SettingsError(f"{where} must be as many numbers as there are adapters, not {counts}")


def _check_ranks(raws: Mapping[str, Raw], values: Mapping[str, Any]) -> None:
    """Check the options of a model on several processes.

    Raises:
        SettingsError: as for `_check_combinations`.
    """
    ways = [name for name in ("tensor_parallel", "pipeline") if values[name] > 1]
    flags = " or ".join(OPTIONS_BY_NAME[name].flag for name in ("tensor_parallel", "pipeline"))
    if "hostfile" in raws and not ways:
        raise SettingsError(f"{raws['hostfile'].where} has no effect without {flags}")
    if len(ways) > 1:
        flag = OPTIONS_BY_NAME["tensor_parallel"].flag
        raise SettingsError(f"{raws['pipeline'].where} cannot be combined with {flag}: MLX connects one group")
    for way in ways:
        if values["hostfile"] is not None and (count := len(hosts(values["hostfile"]))) != values[way]:
            wanted = f"{OPTIONS_BY_NAME[way].flag}: {values[way]}, not {count}"
            raise SettingsError(f"{raws['hostfile'].where} must name as many hosts as {wanted}")
    for name, reason in _OF_ONE_MACHINE.items():
        if "hostfile" in raws and name in raws:
            flag = OPTIONS_BY_NAME[name].flag
            raise SettingsError(f"{raws['hostfile'].where} cannot be combined with {flag}: {reason}")


def _replicas(raws: Mapping[str, Raw], values: Mapping[str, Any], row: Modality) -> int:
    """The number of engines.

    Raises:
        SettingsError: the model has none, or this machine has no such devices.
    """
    devices = values["devices"]
    ranks: int = values["tensor_parallel"] * values["pipeline"]
    replicas: int = values["replicas"] or max(1, len(devices) // ranks)
    given = next((raws[name].where for name in ("devices", "replicas") if name in raws), None)
    if given is not None and row.engine is None:
        raise SettingsError(f"{given} is for models with an engine; {row.model_type} has none")
    try:
        check_devices(devices, replicas, ranks)
    except ValueError as error:
        raise SettingsError(f"{raws['devices'].where} {error}") from None
    return replicas


def _adapters(raws: Mapping[str, Raw], values: Mapping[str, Any]) -> tuple[str, ...]:
    """Absolute paths of the adapters: folders, and of image models files as well."""
    found = []
    files = values["model_type"] in _IMAGE_TYPES
    for path in values["lora_paths"] or ():
        adapter = Path(path).expanduser()
        if not adapter.is_dir() and not (files and adapter.is_file()):
            raise SettingsError(f"{raws['lora_paths'].where}: there is no folder {'or file ' if files else ''}{path}")
        found.append(str(adapter.resolve()))
    return tuple(found)


def _embedded_type(path: str | None) -> ModelType | None:
    """The type of an embedded model that is named by its id."""
    return next((name for name, row in MODALITIES.items() if path == f"embedded:{row.weights}"), None)


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
        return path.partition("@")[0]
    return Path(path).stem if path.lower().endswith(".gguf") else Path(path).name

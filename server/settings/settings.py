"""The server's configuration, from the command line, the environment, a YAML file and the defaults, in this order.

`Settings` is plain data, frozen and picklable, so that the worker process receives it unchanged. Everything about
single options (names, parsing, help) is in `server.settings.options`; this module gathers their values and checks
combinations.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs

from providers.capabilities import MODALITIES
from providers.embeddings.types import Truncation
from providers.spec import ModelSpec
from server.settings.config_file import read_file
from server.settings.model_specs import model_spec, parsed
from server.settings.options import CONFIG
from server.settings.parsers import RateUnit
from server.settings.sources import (
    ONE_MODEL_ONLY,
    Entry,
    Raw,
    SettingsError,
    from_command_line,
    from_environ,
    named_model,
    several_models,
)

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
    max_media: int = 32_000_000
    """Bytes of a file that a request names or contains."""
    audio_input: Literal["refuse", "transcribe"] = "refuse"
    """What happens to recordings in chats that do not say it."""
    max_picture_side: int = 2048
    """Pixels of the longest side of a picture that a model reads."""
    media_timeout: float = 30.0
    allow_private_media: bool = False
    """True: fetch from any address, not only from public ones."""
    media_root: str | None = None
    """Folder of the files that requests may name; None: there are none."""
    log_level: str = "info"
    """`debug`, `info`, `warning` or `error`."""
    prefix_cache_scope: Literal["key", "shared"] = "key"
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
        given = dict(cli or {})
        several = several_models(given)
        cli_layer = from_command_line(given, notes)
        env_layer = from_environ(os.environ if environ is None else environ)
        over = {**env_layer, **cli_layer}
        top, entries = read_file(over.pop(CONFIG.name, None), notes)
        server = parsed({**top, **over}, "server")
        if entries is not None:
            models = _listed(top, entries, over, several)
        elif several:
            models = _from_command_line({**top, **over}, several)
        else:
            models = _one_model_or_the_defaults({**top, **over})
        _refuse_duplicates(models)
        return cls(
            models=tuple(_within(server["memory_limit"], model.spec) for model in models),
            max_body_bytes=server.pop("max_body_size"),
            max_upload_bytes=server.pop("max_upload"),
            key_on_command_line="api_key" in cli_layer,
            notes=tuple(notes),
            **server,
        )


@attrs.frozen
class _Model:
    """A model and where it was named, for messages."""

    spec: ModelSpec
    where: str
    aliases_where: str

    @classmethod
    def of(cls, raws: Mapping[str, Raw], place: str) -> _Model:
        named = next((raws[name].where for name in ("served_model_name", "model_path") if name in raws), place)
        return cls(model_spec(raws), named, raws["aliases"].where if "aliases" in raws else place)


def _listed(
    top: Mapping[str, Raw], entries: Sequence[Entry], over: Mapping[str, Raw], several: Sequence[str]
) -> list[_Model]:
    """The models of the file's list, each with the options outside the list."""
    where = next((over[name].where for name in ONE_MODEL_ONLY if name in over), "--model" if several else None)
    if where is not None:
        raise SettingsError(f"{where} cannot be combined with a `models` list; set it there")
    return [_Model.of({**top, **entry.raws, **over}, entry.place) for entry in entries]


def _from_command_line(shared: Mapping[str, Raw], several: Sequence[str]) -> list[_Model]:
    """The models of several `--model`, or of one with a name, each with all other options."""
    for name in ("served_model_name", "aliases"):
        if name in shared:
            raise SettingsError(f"{shared[name].where} cannot be combined with several models; write --model NAME=PATH")
    shared = {name: raw for name, raw in shared.items() if name != "model_path"}
    echo = "model_type" in shared and str(shared["model_type"].value).strip().lower() == "echo"
    entries = [named_model(value, echo) for value in several]
    return [_Model.of({**shared, **entry.raws}, entry.place) for entry in entries]


def _one_model_or_the_defaults(raws: Mapping[str, Raw]) -> list[_Model]:
    """The chosen model, or the embedded ones if no option chooses a model.

    The embedded chat model comes first and takes every model option. The other embedded models load on first use and
    take only the options in `_FOR_EVERY_DEFAULT`.
    """
    chosen = _Model.of(raws, "the default")
    if any(name in raws for name in ("model_path", "model_type")):
        return [chosen]
    shared = {name: raws[name] for name in _FOR_EVERY_DEFAULT if name in raws}
    lazy = [name for name, row in MODALITIES.items() if row.weights is not None and name != chosen.spec.model_type]
    others = [_Model.of({**shared, "model_type": Raw(model_type, "the default")}, "the default") for model_type in lazy]
    return [chosen, *(attrs.evolve(other, spec=attrs.evolve(other.spec, lazy=True)) for other in others)]


def _within(memory_limit: int | None, model: ModelSpec) -> ModelSpec:
    """The model with no more memory than the whole server has."""
    if memory_limit is None or (model.max_memory is not None and model.max_memory <= memory_limit):
        return model
    return attrs.evolve(model, max_memory=memory_limit)


def _refuse_duplicates(models: Sequence[_Model]) -> None:
    names: dict[str, _Model] = {}
    for model in models:
        name = model.spec.name
        if name in names:
            raise SettingsError(
                f"{model.where}: two models are named {name!r}, this one and {names[name].where}; "
                "give each its own served_model_name"
            )
        names[name] = model
    for model in models:
        for alias in model.spec.aliases:
            if alias in names:
                other = f"{names[alias].spec.name!r}, {names[alias].where}"
                raise SettingsError(
                    f"{model.aliases_where}: the alias {alias!r} of {model.spec.name!r} also names {other}"
                )
            names[alias] = model

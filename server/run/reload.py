"""SIGHUP: the file of `--config` is read again, and its models replace those that are served.

    main process    reads and checks the file, and sends the outcome to the worker
      └─ worker     replaces the models in its registry, and logs what has changed

A file that cannot be used changes nothing. All other options keep their values until the server is started again; the
log names those that differ.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection

import attrs

import otel
from providers.errors import ExtraNotInstalled
from providers.registry import ModelRegistry, check_servable
from providers.spec import ModelSpec
from server.settings.options import OPTIONS_BY_NAME
from server.settings.settings import Settings, SettingsError

__all__ = ["ConfigFile", "Refused", "Reloaded", "has_terminal", "replace_models"]

_logger = otel.get_logger(__name__)

_REPLACED = ("models", "memory_limit", "notes")
"""Fields of `Settings` that a running server can change."""
_FIELDS = {"max_body_bytes": "max_body_size", "max_upload_bytes": "max_upload", "key_on_command_line": "api_key"}
"""Options of fields that have other names."""


@attrs.frozen(kw_only=True)
class Reloaded:
    """What a file that can be used has now."""

    models: tuple[ModelSpec, ...]
    memory_limit: int | None = None
    notes: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    """Options that have changed and keep their values until the next start."""


@attrs.frozen
class Refused:
    """Why a file cannot be used."""

    message: str


def has_terminal() -> bool:
    """Whether the process has a terminal that sends SIGHUP when it closes. A service has none."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


class ConfigFile:
    """The file of a running server, for the main process."""

    def __init__(self, load: Callable[[], Settings], given: Settings, served: Settings) -> None:
        """`load` reads all sources of options again. `given`: what they had at the start. `served`: the same, with
        the folders of models that were fetched.
        """
        self._load = load
        self._given = given
        pairs = zip(given.models, served.models, strict=True)
        self._folders = {(spec.name, spec.path): fetched.path for spec, fetched in pairs}
        self._lock = threading.Lock()

    def reload(self, connection: Connection) -> None:
        """Read the file in a thread, and send what it has now."""
        threading.Thread(target=self._send, args=(connection,), name="reload", daemon=True).start()

    def _send(self, connection: Connection) -> None:
        with self._lock, contextlib.suppress(OSError):
            connection.send(self.read())

    def read(self) -> Reloaded | Refused:
        try:
            settings = self._load()
            check_servable(settings.models)
        except (SettingsError, ExtraNotInstalled) as error:
            return Refused(str(error))
        # The worker compares these with what it serves, so that a fetched model keeps its folder. Engines fetch others.
        models = tuple(
            attrs.evolve(spec, path=self._folders.get((spec.name, spec.path), spec.path)) for spec in settings.models
        )
        return Reloaded(
            models=models,
            memory_limit=settings.memory_limit,
            notes=settings.notes,
            restart=self._needs_restart(settings),
        )

    def _needs_restart(self, settings: Settings) -> tuple[str, ...]:
        names = [field.name for field in attrs.fields(Settings) if field.name not in _REPLACED]
        changed = [name for name in names if getattr(settings, name) != getattr(self._given, name)]
        return tuple(OPTIONS_BY_NAME[_FIELDS.get(name, name)].flag for name in changed)


async def replace_models(registry: ModelRegistry, found: Reloaded | Refused) -> None:
    """Serve the models that the file has now."""
    if isinstance(found, Refused):
        _logger.error("the models stay as they are: the file of --config cannot be used", reason=found.message)
        return
    for note in found.notes:
        _logger.warning(note)
    if found.restart:
        _logger.warning("options that change with the next start", options=list(found.restart))
    try:
        changes = await registry.replace(found.models, memory_limit=found.memory_limit)
    except (ValueError, ExtraNotInstalled) as error:
        _logger.error("the models stay as they are", reason=str(error))
        return
    _logger.info("models reloaded", **{kind: [*names] for kind, names in attrs.asdict(changes).items()})

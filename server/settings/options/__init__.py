"""The table of options: the command line, environment, YAML file, `.env.example` and docs are generated from it.

An option's `name` is its YAML key and, with dashes, its flag. `env` is its environment variable; `parse` comes from
`server.settings.parsers`. Names of other programs for the same settings are in `server.settings.migration.aliases`.
"""

from __future__ import annotations

from server.settings.options._loading import LOADING_OPTIONS
from server.settings.options._media import MEDIA_OPTIONS
from server.settings.options._model import MODEL_OPTIONS, QUEUE_OPTIONS
from server.settings.options._option import Option
from server.settings.options._sampling import SAMPLING_OPTIONS
from server.settings.options._scaling import SCALING_OPTIONS
from server.settings.options._server import CONFIG, LOGGING_OPTIONS, SERVER_OPTIONS

__all__ = ["CONFIG", "GROUPS", "OPTIONS", "OPTIONS_BY_NAME", "SAMPLING_OPTIONS", "Option"]

GROUPS = ("Model", "Loading", "Sampling", "Server", "Queue", "Scaling", "Logging")

OPTIONS: tuple[Option, ...] = (
    *MODEL_OPTIONS,
    *LOADING_OPTIONS,
    *SAMPLING_OPTIONS,
    *SERVER_OPTIONS,
    *MEDIA_OPTIONS,
    *QUEUE_OPTIONS,
    *SCALING_OPTIONS,
    *LOGGING_OPTIONS,
)

OPTIONS_BY_NAME = {option.name: option for option in OPTIONS}

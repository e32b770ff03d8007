"""Sources of weights: the embedded manifest, a local folder or file, the Hugging Face hub."""

from providers.weights.embedded import is_pulled, pull
from providers.weights.errors import WeightsError
from providers.weights.manifest import DEFAULT_IDS, EMBEDDED, EmbeddedModel
from providers.weights.progress import ProgressCallback, terminal_progress
from providers.weights.resolve import LocalModel, find_local, list_local, local_folder, resolve

__all__ = [
    "DEFAULT_IDS",
    "EMBEDDED",
    "EmbeddedModel",
    "LocalModel",
    "ProgressCallback",
    "WeightsError",
    "find_local",
    "is_pulled",
    "list_local",
    "local_folder",
    "pull",
    "resolve",
    "terminal_progress",
]

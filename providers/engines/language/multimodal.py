"""The engine of language models that read pictures: the language engine with pictures among the tokens.

A picture is a run of ids that no vocabulary has (`vision/pictures.py`). So batching, the prefix cache, further outputs,
recovery and counting work as they do for text. What is left to do here: load such a model, and compute the features of
pictures before a prompt that has them enters the batch.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any, cast

import attrs
import mlx.core as mx

from providers.engines.cpu.weight_layout import lay_out_for_blas
from providers.engines.language.adapters import apply_adapters
from providers.engines.language.engine import LanguageEngine
from providers.engines.language.job import LanguageJob
from providers.engines.language.loading import (
    LoadedModel,
    find_model,
    load_tokenizer,
    read_generation_defaults,
)
from providers.engines.process.base import Loaded, as_service_error, free_memory, is_late, timed_out
from providers.engines.process.engine import Outbox, Progress
from providers.engines.process.platform import Platform
from providers.engines.process.weights import dtype_in_words, quantize_weights, weight_bytes, widen_weights
from providers.engines.vision.adapters import layer_names
from providers.engines.vision.encoding import Encoder
from providers.engines.vision.intake import PictureIntake
from providers.engines.vision.loading import load_vision_model
from providers.engines.vision.model import SeeingModel
from providers.engines.vision.pictures import Picture
from providers.engines.vision.templates import PictureMarks, PictureTemplate
from providers.errors import OutOfMemory
from providers.spec import ModelSpec

__all__ = ["MultimodalEngine", "load_multimodal_model"]


def load_multimodal_model(spec: ModelSpec, device: str, progress: Progress) -> LoadedModel:
    """Load `spec.path`, a model folder of an architecture that reads pictures.

    Raises:
        EngineLoadError: the folder, its content or an option cannot be used; the message says what and why.
    """
    folder = find_model(spec, progress)
    progress("loading weights", None)
    vision = load_vision_model(folder, spec)
    model, config = vision.model, vision.config
    dtype_reason = widen_weights(model, spec, device, progress)
    if spec.lora_paths:
        progress("applying adapters", None)
        language = model.language_model
        apply_adapters(language, spec.lora_paths, spec.lora_scales, names=layer_names(language))
    # The tower is small, and reads worse with few bits.
    quantize_weights(model.language_model, config, spec)
    mx.eval(model.parameters())
    lay_out_for_blas(model, device)
    progress("loading the tokenizer", None)
    defaults = read_generation_defaults(folder)
    tokenizer = load_tokenizer(folder, _ends(config, defaults), spec, chat_template=vision.chat_template)
    marks = PictureMarks()
    if tokenizer.has_chat_template:
        tokenizer.apply_chat_template = PictureTemplate(
            tokenizer.apply_chat_template, marks, vision.placeholder, lines=vision.architecture.has_lines
        )
    encoder = Encoder(
        model,
        vision.processor,
        vision.image_token,
        max_bytes=_room(spec) // 16,
        needs_mask=vision.architecture.needs_mask,
    )
    return LoadedModel(
        folder=folder,
        model=SeeingModel(model, encoder, has_grid=vision.architecture.has_grid),
        tokenizer=tokenizer,
        config=config,
        generation_defaults=defaults,
        dtype=dtype_in_words(model),
        dtype_reason=dtype_reason,
        weight_bytes=weight_bytes(model),
        pictures=PictureIntake(
            vision.processor.read,
            marks,
            placeholder=vision.placeholder,
            image_text=vision.image_text,
            image_token=vision.image_token,
        ),
    )


def _room(spec: ModelSpec) -> int:
    """Bytes beside the weights."""
    return free_memory() if spec.max_memory is None else max(0, spec.max_memory - mx.get_active_memory())


def _ends(config: dict[str, Any], defaults: dict[str, Any]) -> Any:
    """The ids that end an answer: folders name them in several places."""
    places = (config, defaults, config.get("text_config") or {})
    return next((ends for place in places if (ends := place.get("eos_token_id")) is not None), None)


class MultimodalEngine(LanguageEngine):
    """Implements `Engine` for `--model-type multimodal`."""

    NOUN = "a multimodal model"

    def _load_model(self, spec: ModelSpec, device: str, progress: Progress) -> LoadedModel:
        return load_multimodal_model(spec, device, progress)

    def __init__(self, prepared: Platform) -> None:
        super().__init__(prepared)
        self._unread: deque[LanguageJob] = deque()
        """Jobs that wait for the features of their pictures."""

    def _load(self, spec: ModelSpec, device: str, progress: Progress) -> Loaded:
        loaded = super()._load(spec, device, progress)
        self._seeing = cast(SeeingModel, self._model)
        return attrs.evolve(loaded, details={**loaded.details, "modalities": ["image"]})

    # ── MLX thread ──────────────────────────────────────────────────────────────────────────────────────────

    @property
    def busy(self) -> bool:
        return bool(self._unread) or super().busy

    def submit(self, job: LanguageJob) -> None:
        self._seeing.watch(job.pictures)
        super().submit(job)

    def cancel(self, request_id: str) -> None:
        self._unread = deque(job for job in self._unread if job.id != request_id)
        super().cancel(request_id)

    def step(self, out: Outbox) -> None:
        if self._unread:
            self._read_next(out)
        super().step(out)

    def _expire(self, out: Outbox) -> None:
        now = time.monotonic()
        for job in [job for job in self._unread if is_late(job, now)]:
            self._unread.remove(job)
            out.fail(job.id, timed_out())
        super()._expire(out)

    def _start(self, job: LanguageJob, out: Outbox) -> None:
        if self._lacks(job):
            self._unread.append(job)
        else:
            super()._start(job, out)

    def _make_room(self, job: LanguageJob) -> None:
        try:
            super()._make_room(job)
        except OutOfMemory:
            self._seeing.encoder.forget()
            super()._make_room(job)

    def _lacks(self, job: LanguageJob) -> list[Picture]:
        """The pictures whose features the prompt needs and does not have. A kept prefix needs none."""
        if not job.pictures or (job.max_tokens == 0 and job.prompt_logprobs is None):
            return []
        # The log-probabilities of a prompt need all of it.
        cached = 0 if job.prompt_logprobs is not None else self._prefixes.fetch(job.tokens, job.cache_salt)[1]
        left = job.tokens[cached:]
        return [
            picture
            for picture in job.pictures
            if picture.expansion.is_in(left) and not self._seeing.encoder.find(picture)
        ]

    def _read_next(self, out: Outbox) -> None:
        """Compute the features of one picture: between two steps, so that other answers go on."""
        job = self._unread[0]
        try:
            with mx.stream(self._batch.generator.stream):
                lacking = self._lacks(job)
                for picture in lacking[:1]:
                    self._seeing.encoder.features(picture)
        except BaseException as error:  # a panic in native code is not an Exception
            self._unread.popleft()
            out.fail(job.id, job.context.run(as_service_error, error, job.id))
            return
        if len(lacking) < 2:
            self._waiting.appendleft(self._unread.popleft())

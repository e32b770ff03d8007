"""The engine of image models: those of mflux. A step does one denoising step of one request."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import attrs
import mlx.core as mx

from providers.engines.image.intake import ImageJob
from providers.engines.image.loading import load_image_model
from providers.engines.image.mflux_internals import pixels_of
from providers.engines.image.painting import Encoded, Painted, Painting, Pauses, Stepped
from providers.engines.process.base import Loaded
from providers.engines.process.engine import Outbox, Progress
from providers.engines.process.turns import TurnEngine, Work
from providers.errors import InvalidRequest, ServiceError
from providers.image.types import (
    ImageAccepted,
    ImageFinished,
    ImagePreview,
    ImageProgress,
    ImageRequest,
    SourceImage,
)
from providers.spec import ModelSpec

__all__ = ["ImageEngine"]

_WARMUP_SIDE = 64


@attrs.define(eq=False, kw_only=True)
class _Images(Work[ImageJob]):
    """The images of a request, made one after the other."""

    index: int = 0
    """Of the image that is made now."""
    painting: Painting | None = None
    """None before the image is begun."""
    previews: int = 0
    """Of this image."""
    begun: float = 0.0
    encoded: float = 0.0
    denoised: float = 0.0
    """When the image was begun, encoded, and had its last step."""
    previewing: float = 0.0
    """Seconds that its previews took."""
    steps: list[float] = attrs.field(factory=list)
    """When each of its steps ended, in seconds after it was encoded, without the previews."""


class ImageEngine(TurnEngine[ImageJob, _Images]):
    """Implements `Engine` for folders that mflux loads."""

    REQUESTS = (ImageRequest,)
    NOUN = "an image model"
    DOES = "makes images"

    # ── loading ─────────────────────────────────────────────────────────────────────────────────────────────

    def _load(self, spec: ModelSpec, device: str, progress: Progress) -> Loaded:
        self._loaded = load_image_model(spec, device, progress)
        self._loaded.model.callbacks.register(Pauses())
        return Loaded(
            model_type=self._loaded.config,
            dtype=self._loaded.dtype,
            details={"edits": self._loaded.edits, **self._loaded.intake.details},
        )

    def _warm_up(self) -> None:
        side = _WARMUP_SIDE
        grey = SourceImage(side, side, bytes([127]) * (3 * side * side))
        job = self._loaded.intake.warmup(grey, side)
        painting = Painting(partial(self._loaded.paint, 0, job.arguments))
        while not isinstance(painting.next(), Painted):
            pass
        self._loaded.forget_prompts()

    # ── intake thread ───────────────────────────────────────────────────────────────────────────────────────

    def _job(self, request: ImageRequest) -> ImageJob:
        return self._loaded.intake.job(request)

    # ── MLX thread ──────────────────────────────────────────────────────────────────────────────────────────

    def _begin(self, job: ImageJob) -> _Images:
        return _Images(job=job)

    def _accepted(self, job: ImageJob) -> ImageAccepted:
        return ImageAccepted(job.width, job.height, job.steps, job.seed)

    def _next(self) -> _Images:
        """The request that waits longest, which becomes the last one."""
        id, work = next(iter(self._works.items()))
        del self._works[id]
        self._works[id] = work
        return work

    def _drop(self, work: _Images) -> None:
        """Free what an image in progress holds."""
        if work.painting is not None:
            work.painting.drop()
            work.painting = None
        self._loaded.forget_prompts()
        mx.clear_cache()

    def _failure(self, work: _Images, error: BaseException) -> ServiceError:
        # mflux checks sizes and sources before its first step, with messages for people.
        if isinstance(error, ValueError) and work.painting is not None and not work.encoded:
            return InvalidRequest(str(error))
        return super()._failure(work, error)

    def _advance(self, work: _Images, out: Outbox) -> None:
        """Do the next part of the image."""
        job = work.job
        if work.painting is None:
            work.begun, work.encoded, work.denoised, work.previewing, work.previews = time.monotonic(), 0.0, 0.0, 0.0, 0
            work.steps = []
            work.painting = Painting(partial(self._loaded.paint, job.seed_of(work.index), job.arguments))
        reached = work.painting.next()
        now = time.monotonic()
        if isinstance(reached, Encoded):
            work.encoded = now
        elif isinstance(reached, Stepped):
            work.denoised = now
            work.steps.append(now - work.encoded - work.previewing)
            out.event(job.id, ImageProgress(work.index, reached.step, job.steps))
            if job.previews_after(reached.step) > work.previews:
                self._preview(work, reached, out)
        elif isinstance(reached, Painted):
            self._finish(work, reached.image, now, out)

    def _preview(self, work: _Images, reached: Stepped, out: Outbox) -> None:
        started = time.monotonic()
        image = pixels_of(self._loaded.model, self._loaded.latents, reached.latents, reached.width, reached.height)
        out.event(work.job.id, ImagePreview(work.index, work.previews, *_rgb(image)))
        work.previews += 1
        work.previewing += time.monotonic() - started

    def _finish(self, work: _Images, image: Any, now: float, out: Outbox) -> None:
        job = work.job
        denoised = max(work.denoised, work.encoded)
        out.event(
            job.id,
            ImageFinished(
                work.index,
                *_rgb(image),
                seed=job.seed_of(work.index),
                steps=job.steps,
                queue_seconds=work.begun - job.submitted,
                encode_seconds=work.encoded - work.begun,
                denoise_seconds=max(0.0, denoised - work.encoded - work.previewing),
                decode_seconds=now - denoised + work.previewing,
                step_seconds=tuple(work.steps),
            ),
        )
        work.painting = None
        work.index += 1
        if work.index == job.request.n:
            del self._works[job.id]
            self._loaded.forget_prompts()
            mx.clear_cache()


def _rgb(image: Any) -> tuple[int, int, bytes]:
    """Width, height and pixels of PIL's image."""
    plain = image.convert("RGB")
    return plain.width, plain.height, plain.tobytes()

"""The transcription engine: Whisper by mlx-audio, one window of one recording per step."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import mlx.core as mx
from mlx_audio.stt.models.whisper.tokenizer import LANGUAGES, TO_LANGUAGE_CODE

from providers.engines.process.base import BaseEngine, Loaded, as_service_error, failure_of, release_arrays
from providers.engines.process.engine import Outbox, Progress
from providers.engines.process.platform import Platform
from providers.engines.transcription.audio_reader import AudioReader
from providers.engines.transcription.loading import load_whisper
from providers.engines.transcription.session import Transcript, check_duration, warm_up
from providers.engines.transcription.tokenizer import get_tokenizer
from providers.engines.transcription.vad_window import Recording
from providers.errors import InvalidRequest, UnsupportedParameter
from providers.spec import ModelSpec
from providers.transcription.types import TranscriptionRequest

__all__ = ["WhisperEngine"]

PROMPT_CHARACTERS = 8192
"""Characters from the end of a prompt: the tokens that the model accepts cannot contain more."""


class WhisperEngine(BaseEngine[Transcript]):
    """Implements `Engine` for `--model-type whisper`. Requests take turns of one window."""

    REQUESTS = (TranscriptionRequest,)
    NOUN = "a transcription model"
    DOES = "transcribes audio"
    FREED_BYTES = 2 << 30

    def __init__(self, prepared: Platform) -> None:
        super().__init__(prepared)
        self._transcripts: deque[Transcript] = deque()

    # ── loading ─────────────────────────────────────────────────────────────────────────────────────────────

    def _load(self, spec: ModelSpec, device: str, progress: Progress) -> Loaded:
        loaded = load_whisper(spec, device, progress)
        self._model, self._half = loaded.model, loaded.half
        # Read from the model once: it computes these from its shapes, and the intake thread needs them too.
        self._multilingual = bool(self._model.is_multilingual)
        self._languages = list(LANGUAGES)[: self._model.num_languages] if self._multilingual else ["en"]
        self._prompt_tokens = self._model.dims.n_text_ctx // 2 - 1
        details = {"dtype_reason": loaded.dtype_reason, "multilingual": self._multilingual}
        return Loaded(model_type="whisper", dtype=loaded.dtype, details=details)

    def _warm_up(self) -> None:
        warm_up(self._model, half=self._half)

    # ── intake thread ───────────────────────────────────────────────────────────────────────────────────────

    def _job(self, request: TranscriptionRequest) -> Transcript:
        if request.task == "translate" and not self._multilingual:
            raise UnsupportedParameter("this model knows only English, so it cannot translate", param="model")
        if request.task == "translate" and request.words:
            message = "timestamp_granularities: a translation's words have no times"
            raise UnsupportedParameter(message, param="timestamp_granularities")
        language = self._checked_language(request.language)
        prompt = self._prompt(request.prompt)
        reader = AudioReader(Path(request.path))
        try:
            check_duration(reader.duration, request.max_seconds)
        except InvalidRequest:
            reader.close()
            raise
        recording = Recording(reader, detect=request.detect_speech)
        return Transcript(request, recording, self._model, half=self._half, prompt=prompt, language=language)

    def _checked_language(self, language: str | None) -> str | None:
        """The code of the language; None to let the model detect it."""
        if language is None:
            return None if self._multilingual else "en"
        word = language.strip().lower()
        code = word if word in LANGUAGES else TO_LANGUAGE_CODE.get(word)
        if code is None:
            message = f"language: {language[:32]!r} is not a language; send an ISO-639-1 code such as 'en'"
            raise InvalidRequest(message, param="language")
        if code not in self._languages:
            known = "knows only English" if not self._multilingual else f"does not know {LANGUAGES[code]}"
            raise InvalidRequest(f"language: this model {known}, not {language[:32]!r}", param="language")
        return code

    def _prompt(self, prompt: str | None) -> list[int]:
        """The last tokens of the prompt, as many as the model accepts."""
        if prompt is None or not prompt.strip():
            return []
        tokenizer = get_tokenizer(self._multilingual, num_languages=self._model.num_languages)
        text = " " + prompt.strip()[-PROMPT_CHARACTERS:]
        tokens = tokenizer.encode(text)
        return tokens[-self._prompt_tokens :]

    # ── MLX thread ──────────────────────────────────────────────────────────────────────────────────────────

    @property
    def busy(self) -> bool:
        return bool(self._transcripts)

    def submit(self, job: Transcript) -> None:
        self._transcripts.append(job)

    def cancel(self, request_id: str) -> None:
        for transcript in [one for one in self._transcripts if one.id == request_id]:
            self._drop(transcript)

    def step(self, out: Outbox) -> None:
        transcript = self._transcripts[0]
        self._transcripts.rotate(-1)
        transcript.context.run(self._advance, transcript, out)

    def _advance(self, transcript: Transcript, out: Outbox) -> None:
        try:
            for event in transcript.step():
                out.event(transcript.id, event)
        except BaseException as error:  # a panic in native code is not an Exception
            out.fail(transcript.id, as_service_error(error, transcript.id))
            self._drop(transcript)
            release_arrays(error)
        else:
            if transcript.ended:
                self._drop(transcript)

    def recover(self, out: Outbox, error: BaseException) -> None:
        """Fail the request whose turn it was, which `step` has moved to the end."""
        if self._transcripts:
            transcript = self._transcripts[-1]
            out.fail(transcript.id, failure_of(error))
            self._drop(transcript)
        mx.clear_cache()

    def _drop(self, transcript: Transcript) -> None:
        self._transcripts.remove(transcript)
        transcript.close()

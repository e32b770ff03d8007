"""The output at temperature 0 does not depend on how the prompt is computed.

With the prefix cache or without, as the only sequence or one of eight, as a whole or in chunks, and with mlx-lm's
decode step or with our own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from providers.chat.types import ChatPrompt, SamplingParams
from providers.engines.language.prefill.budget import PREFILL_STEP
from tests.unit.providers.engines import decode_stand_ins, tiny
from tests.unit.providers.engines.client import Answer, chat
from tests.unit.providers.engines.inprocess import SteppedEngine

NO_END = SamplingParams(temperature=0.0, logit_bias={tiny.END: -100.0})
SYSTEM = ("system", "You are tiny, and you answer as you like.")
QUESTIONS = [f"{'word ' * (3 * number)}question {number}" for number in range(8)]
WHOLE, CHUNK = 512, 16
FAMILIES: dict[str, Callable[..., Path]] = {
    "attention": tiny.write_folder,
    "sliding window": tiny.write_sliding_folder,
    "hybrid": tiny.write_hybrid_folder,
    "recurrent": tiny.write_recurrent_folder,
}


class Family:
    """A model, and its answers to first and second turns without prefix cache, batch and chunks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.expected = self.answers(WHOLE, max_concurrency=1, prefix_cache_bytes=0)[0]

    def answers(self, step: int, *, own: bool = False, **spec: int | None) -> tuple[list[str], list[int]]:
        """Texts and cached tokens of eight first turns, then of eight second ones. `own`: with our own decode step."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(PREFILL_STEP, "cpu", step)
            if own:
                decode_stand_ins.load_as_on_cuda(patch)
            return self._both_turns(SteppedEngine(self.folder, warmup=False, **spec))

    def _both_turns(self, engine: SteppedEngine) -> tuple[list[str], list[int]]:
        first = self._ask(engine, [chat(SYSTEM, ("user", question)) for question in QUESTIONS])
        second = self._ask(
            engine,
            [
                chat(SYSTEM, ("user", question), ("assistant", answer.text), ("user", f"and then, {question}?"))
                for question, answer in zip(QUESTIONS, first, strict=True)
            ],
        )
        accepted = [answer.accepted for answer in first + second]
        cached = [one.cached_tokens for one in accepted if one is not None]
        return [answer.text for answer in first + second], cached

    def _ask(self, engine: SteppedEngine, prompts: list[ChatPrompt]) -> list[Answer]:
        answers = [
            engine.submit(str(index), prompt, sampling=NO_END, max_tokens=6) for index, prompt in enumerate(prompts)
        ]
        engine.run()
        return answers


@pytest.fixture(scope="module", params=FAMILIES, ids=str)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Family:
    name = request.param.replace(" ", "-")
    return Family(FAMILIES[request.param](tmp_path_factory.mktemp(name), max_position_embeddings=1024))


@pytest.mark.parametrize("step", [WHOLE, CHUNK], ids=["whole", "chunked"])
@pytest.mark.parametrize("rows", [1, 8], ids=["alone", "among eight"])
@pytest.mark.parametrize("kept", [None, 0], ids=["kept", "nothing kept"])
@pytest.mark.parametrize("own", [False, True], ids=["mlx-lm's step", "our own step"])
def test_answers_are_equal(family: Family, own: bool, kept: int | None, rows: int, step: int) -> None:
    if own and family.folder.name.startswith("recurrent"):
        pytest.skip("a decode step without attention is mlx-lm's")
    texts, cached = family.answers(step, own=own, max_concurrency=rows, prefix_cache_bytes=kept)

    assert len(set(family.expected)) > len(QUESTIONS), "the model says the same to everything: nothing is compared"
    assert texts == family.expected
    # Requests that come together wait for the system prompt that one of them computes.
    assert [tokens > 0 for tokens in cached[8:]] == [kept is None] * 8
    assert [tokens > 0 for tokens in cached[1:8]] == [kept is None] * 7


@pytest.mark.parametrize("family_name", ["attention", "sliding window"])
def test_64_sequences_get_the_tokens_of_mlx_lm(family_name: str, tmp_path: Path) -> None:
    folder = FAMILIES[family_name](tmp_path, max_position_embeddings=1024)
    prompts = [chat(SYSTEM, ("user", f"{'word ' * (number % 17)}question {number}")) for number in range(64)]
    texts = []
    for own in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            if own:
                decode_stand_ins.load_as_on_cuda(patch)
            engine = SteppedEngine(folder, warmup=False, max_concurrency=64)
            answers = [
                # Sequences end at different times, so that the batch shrinks.
                engine.submit(str(index), prompt, sampling=NO_END, max_tokens=4 + index % 13)
                for index, prompt in enumerate(prompts)
            ]
            engine.run()
            texts.append([answer.text for answer in answers])
    assert texts[0] == texts[1]

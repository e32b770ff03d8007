"""Answers about pictures are those of mlx-vlm's own generator, whatever else the engine does at the same time."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx_vlm.generate import stream_generate
from mlx_vlm.utils import load_model, load_processor
from PIL import Image

from providers.chat.types import (
    ChatMessage,
    ChatPrompt,
    GenerationRequest,
    ImagePart,
    RegexGrammar,
    SamplingParams,
    TextPart,
    Tool,
)
from providers.engine_host.frames import Generate, Tokenize, Tokenized
from providers.engines.language.multimodal import MultimodalEngine
from providers.engines.process.engine import EngineLoadError, TakesLong
from providers.errors import OutOfMemory
from tests.unit.providers.engines import tiny, tiny_vision
from tests.unit.providers.engines.client import GREEDY, Answer
from tests.unit.providers.engines.inprocess import SteppedEngine
from tests.unit.providers.engines.tiny_vision import chat, picture

FAMILIES = ["smolvlm", "qwen2_vl"]
TOKENS = 10
WIDE = picture(4, 90, 30)


class Seeing(SteppedEngine):
    engine: MultimodalEngine

    def __init__(self, folder: Path, **spec: Any) -> None:
        spec = {"model_type": "multimodal", "max_concurrency": 4, **spec}
        super().__init__(folder, MultimodalEngine, **spec)

    @property
    def runs(self) -> int:
        return self.engine._seeing.encoder.runs

    def tokens(self, id: str, *parts: str | ImagePart, **request: Any) -> Answer:
        return self.submit(id, chat(*parts), **{"max_tokens": TOKENS, "top_logprobs": 0, **request})


def raws(answer: Answer) -> list[bytes]:
    assert answer.failed is None
    return [token.raw for token in answer.logprobs]


class Judge:
    """mlx-vlm's own generator at temperature 0."""

    def __init__(self, folder: Path, model_type: str, seeing: Seeing) -> None:
        self._model = load_model(folder)
        self._processor = load_processor(folder, add_detokenizer=True, trust_remote_code=False)
        self._image = tiny_vision.IMAGE[model_type]
        self._piece = seeing.engine._text.piece

    def __call__(self, *parts: str | ImagePart, count: int = TOKENS) -> list[bytes]:
        text = "".join(part if isinstance(part, str) else self._image for part in parts)
        images = [
            Image.frombytes("RGB", (part.width, part.height), part.pixels)
            for part in parts
            if not isinstance(part, str)
        ]
        prompt = f"<|start|>user\n{text}<|end|><|start|>"
        made = stream_generate(
            self._model, self._processor, prompt, image=images or None, max_tokens=count, temperature=0.0
        )
        return [self._piece(response.token)[1] for response in made][:count]


@pytest.fixture(scope="module", params=FAMILIES)
def model_type(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(model_type: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_vision.write_folder(tmp_path_factory.mktemp(model_type), model_type)


@pytest.fixture(scope="module")
def seeing(folder: Path) -> Seeing:
    return Seeing(folder)


@pytest.fixture(scope="module")
def judge(folder: Path, model_type: str, seeing: Seeing) -> Judge:
    return Judge(folder, model_type, seeing)


PROMPTS: list[tuple[str | ImagePart, ...]] = [
    ("what is ", picture(1), "this?"),
    (picture(2), "and that?"),
    ("one ", picture(3), "two ", WIDE, "which?"),
    ("no picture, only a longer text about hello and hell",),
]


def test_answers_are_those_of_mlx_vlm(seeing: Seeing, judge: Judge) -> None:
    for number, parts in enumerate(PROMPTS):
        answer = seeing.tokens(f"alone {number}", *parts)
        seeing.run()
        assert raws(answer) == judge(*parts), parts


def test_they_are_the_same_in_a_batch_with_texts(folder: Path, judge: Judge) -> None:
    seeing = Seeing(folder)

    answers = [seeing.tokens(f"{number}", *parts) for number, parts in enumerate(PROMPTS)]
    seeing.run()

    for parts, answer in zip(PROMPTS, answers, strict=True):
        assert raws(answer) == judge(*parts), parts


@pytest.mark.parametrize("step", [1, 7])
def test_they_are_the_same_when_chunks_cut_pictures(folder: Path, judge: Judge, step: int) -> None:
    seeing = Seeing(folder, prefill_step_size=step)

    for number, parts in enumerate(PROMPTS[:3]):
        answer = seeing.tokens(f"{number}", *parts)
        seeing.run()
        assert raws(answer) == judge(*parts), parts


@pytest.mark.parametrize("model_type", ["idefics3", "mistral3", "pixtral", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe"])
def test_other_architectures_answer_as_mlx_vlm_too(tmp_path: Path, model_type: str) -> None:
    folder = tiny_vision.write_folder(tmp_path, model_type)
    seeing = Seeing(folder, prefill_step_size=9)
    judge = Judge(folder, model_type, seeing)

    answers = [seeing.tokens(f"{number}", *parts) for number, parts in enumerate(PROMPTS)]
    seeing.run()

    for parts, answer in zip(PROMPTS, answers, strict=True):
        assert raws(answer) == judge(*parts), parts


def test_another_picture_gives_other_probabilities(seeing: Seeing) -> None:
    answers = [seeing.tokens(f"{place}", "what?", picture(seed), "!") for place, seed in enumerate((1, 2, 1))]
    seeing.run()

    one, two, again = [answer.logprobs[0].logprob for answer in answers]
    assert one == pytest.approx(again, abs=1e-4)
    assert abs(one - two) > 1e-3


def turns(*more: str) -> ChatPrompt:
    asked = ChatMessage(role="user", content=[TextPart("what is "), picture(11), TextPart("this?")])
    roles = ("assistant", "user")
    return ChatPrompt(messages=[asked, *(ChatMessage(role, text) for role, text in zip(roles, more, strict=False))])


def test_a_second_turn_runs_no_tower_and_continues_the_kept_prompt(folder: Path) -> None:
    seeing = Seeing(folder)
    first = seeing.ask("first", turns(), max_tokens=4)
    assert first.accepted is not None
    assert seeing.runs == 1

    second = seeing.ask("second", turns("a hello", "and now?"), max_tokens=4)

    assert second.accepted is not None
    assert (first.accepted.pictures_encoded, second.accepted.pictures_encoded) == (1, 0)
    assert seeing.runs == 1
    assert second.accepted.cached_tokens >= first.accepted.prompt_tokens - 1


def test_the_kept_prompt_is_enough_without_the_features(folder: Path) -> None:
    seeing = Seeing(folder)
    seeing.ask("first", turns(), max_tokens=4)
    seeing.engine._seeing.encoder._kept.max_bytes = 0
    seeing.engine._seeing.encoder._kept.put("another", mx.array(0), 0)

    seeing.ask("second", turns("a hello", "and now?"), max_tokens=4)

    assert seeing.runs == 1


def test_features_are_computed_again_when_neither_is_kept(folder: Path, judge: Judge) -> None:
    seeing = Seeing(folder, prefix_cache_bytes=0)
    seeing.engine._seeing.encoder._kept.max_bytes = 0

    for number in range(2):
        answer = seeing.tokens(f"{number}", *PROMPTS[0])
        seeing.run()
        assert raws(answer) == judge(*PROMPTS[0])

    assert seeing.runs == 2


def test_kept_features_give_way_to_a_prompt(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seeing = Seeing(folder)
    seeing.ask("kept", chat(*PROMPTS[0]), max_tokens=1)
    memory, asked = seeing.engine._memory, []

    def is_short(*_: Any) -> None:
        asked.append(seeing.engine._seeing.encoder._kept.nbytes)
        if asked[-1]:
            raise OutOfMemory("too little")

    monkeypatch.setattr(memory, "make_room", is_short)
    answer = seeing.ask("text", chat(*PROMPTS[3]), max_tokens=1)

    assert answer.failed is None
    assert asked[0] > 0
    assert asked[-1] == 0


def test_several_answers_share_the_picture(folder: Path, judge: Judge) -> None:
    seeing = Seeing(folder)

    answer = seeing.tokens("several", *PROMPTS[0], n=3)
    seeing.run()

    assert raws(answer) == judge(*PROMPTS[0])
    assert answer.text_of(0) == answer.text_of(1) == answer.text_of(2)
    assert seeing.runs == 1


def test_a_seed_repeats_an_answer(seeing: Seeing) -> None:
    drawn = SamplingParams(temperature=1.0, seed=5, repetition_penalty=1.3, presence_penalty=0.5)
    answers = [seeing.tokens(f"drawn {number}", *PROMPTS[2], sampling=drawn) for number in range(2)]
    seeing.run()

    assert raws(answers[0]) == raws(answers[1])


def test_a_grammar_holds_an_answer_about_a_picture(seeing: Seeing) -> None:
    answer = seeing.ask("constrained", chat(*PROMPTS[0]), max_tokens=TOKENS, grammar=RegexGrammar("(yes|no){2}"))

    assert answer.failed is None
    assert re.fullmatch("(yes|no){2}", answer.text)


def test_a_model_with_pictures_can_have_tools(seeing: Seeing) -> None:
    asked = chat(*PROMPTS[0])
    tools = [Tool(name="look", description="Look closer.", parameters={"type": "object", "properties": {}})]

    answer = seeing.ask("tools", ChatPrompt(messages=asked.messages, tools=tools), max_tokens=TOKENS)
    plain = seeing.ask("none", asked, max_tokens=TOKENS)

    assert answer.failed is None
    assert answer.accepted is not None
    assert plain.accepted is not None
    assert answer.accepted.prompt_tokens > plain.accepted.prompt_tokens


def test_after_a_failed_step_pictures_are_read_again(
    folder: Path, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeing = Seeing(folder, prefix_cache_bytes=0)
    kept, lost = seeing.tokens("kept", *PROMPTS[2]), seeing.tokens("lost", *PROMPTS[1])
    while len(kept.deltas) < 3:
        seeing.step()

    def fails() -> Any:
        raise RuntimeError("as a device does")

    with monkeypatch.context() as patch:
        patch.setattr(seeing.engine._batch, "next", fails)
        seeing.step()
    seeing.run()

    assert lost.failed is not None
    assert raws(kept) == judge(*PROMPTS[2])


def test_log_probabilities_of_a_prompt_show_the_image_token(seeing: Seeing, model_type: str) -> None:
    answer = seeing.tokens("scored", *PROMPTS[0], max_tokens=0, prompt_logprobs=1)
    seeing.run()

    assert answer.accepted is not None
    logprobs = answer.accepted.prompt_logprobs
    assert logprobs is not None
    assert len(logprobs) == answer.accepted.prompt_tokens
    placeholder = tiny_vision.IMAGE_TOKENS[model_type][0]
    assert [token.token for token in logprobs].count(placeholder) >= 4
    assert all(token.logprob <= 0 for token in logprobs)


def test_a_prompt_that_is_only_counted_reads_no_picture(folder: Path) -> None:
    seeing = Seeing(folder)

    counted = seeing.ask("counted", chat(*PROMPTS[0]), max_tokens=0)

    assert counted.finished is not None
    assert seeing.runs == 0


def test_a_prompt_can_be_computed_beforehand(folder: Path, judge: Judge) -> None:
    seeing = Seeing(folder)
    seeing.ask("filled", chat(*PROMPTS[0]), prefill_only=True)

    answer = seeing.tokens("answered", *PROMPTS[0])
    seeing.run()

    assert answer.accepted is not None
    assert answer.accepted.cached_tokens == answer.accepted.prompt_tokens - 1
    assert seeing.runs == 1
    assert raws(answer) == judge(*PROMPTS[0])


def test_a_request_can_be_cancelled_before_its_pictures_are_read(folder: Path) -> None:
    seeing = Seeing(folder)
    cancelled = seeing.tokens("cancelled", *PROMPTS[2])
    seeing.engine._admit(seeing.out)
    assert seeing.engine.busy

    seeing.engine.cancel("cancelled")

    assert not seeing.engine.busy
    assert not cancelled.ended
    assert seeing.runs == 0


def test_a_request_whose_time_is_over_reads_no_picture(folder: Path) -> None:
    seeing = Seeing(folder)
    late = seeing.tokens("late", *PROMPTS[2], timeout=1e-6)
    seeing.engine._admit(seeing.out)
    seeing.run()

    assert late.failed is not None
    assert late.failed.code == "timeout"


def test_a_picture_that_breaks_the_tower_fails_its_request_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seeing = Seeing(folder)

    def fails(picture: Any) -> Any:
        raise RuntimeError("as a device does")

    monkeypatch.setattr(seeing.engine._seeing.encoder, "_encode", fails)
    broken, text = seeing.tokens("broken", *PROMPTS[0]), seeing.tokens("text", *PROMPTS[3])
    seeing.run()

    assert broken.failed is not None
    assert text.failed is None
    assert text.finished is not None


def test_answers_go_on_between_two_pictures(folder: Path) -> None:
    seeing = Seeing(folder)
    text = seeing.tokens("text", *PROMPTS[3], max_tokens=40)
    while len(text.deltas) < 2:
        seeing.step()

    seeing.tokens("pictures", *(picture(20 + number) for number in range(3)), "which?")
    before, seen = seeing.runs, []
    while seeing.runs < before + 3:
        seeing.step()
        seen.append((seeing.runs - before, len(text.logprobs)))

    assert all(later[0] - earlier[0] <= 1 for earlier, later in itertools.pairwise(seen))
    assert seen[-1][1] - seen[0][1] >= 2


def test_tokenising_counts_pictures_as_the_image_token(seeing: Seeing, folder: Path) -> None:
    answer = seeing.tokens("counted", *PROMPTS[2])
    seeing.run()

    asked = seeing.engine.answer(Tokenize("", chat(*PROMPTS[2]), None))

    assert isinstance(asked, Tokenized)
    assert answer.accepted is not None
    assert len(asked.tokens) == answer.accepted.prompt_tokens
    assert min(asked.tokens) >= 0
    assert asked.tokens.count(seeing.engine._intake.shown([-1])[0]) >= 8


@pytest.mark.parametrize("role", ["user", "assistant"])
def test_a_placeholder_in_a_text_is_text(seeing: Seeing, model_type: str, role: str) -> None:
    placeholder = tiny_vision.IMAGE_TOKENS[model_type][0]
    said = ChatMessage(role=role, content=f"I say {placeholder} twice {placeholder}")
    asked = ChatMessage(role="user", content=[picture(1), TextPart("what?")])

    answer = seeing.ask(f"placeholder of {role}", ChatPrompt(messages=[said, asked]), max_tokens=1)
    plain = seeing.ask(f"picture only {role}", ChatPrompt(messages=[asked]), max_tokens=1)

    assert answer.failed is None
    assert answer.accepted is not None
    assert plain.accepted is not None
    spelled = answer.accepted.prompt_tokens - plain.accepted.prompt_tokens
    assert spelled > 2 * len(placeholder)


def test_only_the_processor_of_a_new_picture_takes_long(folder: Path) -> None:
    seeing = Seeing(folder)
    made = GenerationRequest(id="new", prompt=chat(*PROMPTS[0]), sampling=GREEDY, max_tokens=1)
    with pytest.raises(TakesLong):
        seeing.engine.prepare(Generate(request=made), may_wait=False)

    job = seeing.engine.prepare(Generate(request=made))

    assert seeing.engine.prepare(Generate(request=made), may_wait=False).tokens == job.tokens


def test_kept_prompts_with_pictures_get_no_file(folder: Path, tmp_path: Path) -> None:
    seeing = Seeing(folder, prefix_cache_dir=str(tmp_path / "kept"))
    seeing.ask("text", chat(*PROMPTS[3]), max_tokens=2)
    seeing.ask("picture", chat(*PROMPTS[0]), max_tokens=2)
    while seeing.engine.use_idle_time():
        pass

    assert len(list((tmp_path / "kept").glob("*/*.safetensors"))) == 1
    again = seeing.ask("again", chat(*PROMPTS[0]), max_tokens=2)
    assert again.failed is None


def test_kept_texts_are_read_from_their_files(folder: Path, tmp_path: Path) -> None:
    before = Seeing(folder, prefix_cache_dir=str(tmp_path))
    first = before.ask("text", "hello " * 20, max_tokens=TOKENS)
    more = f"{'hello ' * 20}{first.text} and more"
    expected = before.ask("more", more, max_tokens=TOKENS, cache_salt="of its own")
    while before.engine.use_idle_time():
        pass

    after = Seeing(folder, prefix_cache_dir=str(tmp_path))
    again = after.ask("again", more, max_tokens=TOKENS)

    assert again.text == expected.text
    assert again.accepted is not None
    assert again.accepted.cached_tokens > 0


def test_a_bounded_cache_leaves_positions_as_they_are(folder: Path) -> None:
    seeing = Seeing(folder, max_kv_size=32)

    answers = [seeing.tokens(f"{number}", *parts) for number, parts in enumerate(PROMPTS)]
    seeing.run()
    again = seeing.ask("again", chat(*PROMPTS[2], "and then?"), max_tokens=TOKENS)

    assert [answer.failed for answer in (*answers, again)] == [None] * 5


def test_speculation_proposes_no_picture(folder: Path, judge: Judge) -> None:
    seeing = Seeing(folder, prompt_lookup=4, prefix_cache_bytes=0)

    answer = seeing.ask("looked up", chat(*PROMPTS[0], "what is "), max_tokens=30)
    plain = Seeing(folder, prefix_cache_bytes=0).ask("plain", chat(*PROMPTS[0], "what is "), max_tokens=30)

    assert answer.text == plain.text


def test_quantised_keys_leave_positions_as_they_are(folder: Path) -> None:
    seeing = Seeing(folder, kv_bits=8, kv_group_size=32, dtype="float32")

    answers = [seeing.tokens(f"{number}", *parts) for number, parts in enumerate(PROMPTS)]
    seeing.run()

    assert all(answer.failed is None for answer in answers)


def test_the_engine_reports_what_it_reads(seeing: Seeing) -> None:
    assert seeing.info.details["modalities"] == ["image"]


def test_other_architectures_are_refused_with_those_that_are_not(tmp_path: Path) -> None:
    with pytest.raises(EngineLoadError, match=r"'llama', only for .*qwen2_vl.*smolvlm"):
        Seeing(tiny.write_folder(tmp_path))


def test_a_folder_without_a_processor_is_refused(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        if "processor" not in file.name:
            (tmp_path / file.name).symlink_to(file)

    with pytest.raises(EngineLoadError, match="settings of the processor are missing"):
        Seeing(tmp_path)


def test_adapters_are_refused(folder: Path) -> None:
    with pytest.raises(EngineLoadError, match="--lora-paths"):
        Seeing(folder, lora_paths=("adapter",))

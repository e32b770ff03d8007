"""A batch whose rows are sampled together gives each row the token that it would get by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import msgspec
import numpy as np
import pytest
from mlx_lm.generate import BatchGenerator
from mlx_lm.models import dbrx, llama
from mlx_lm.sample_utils import make_logits_processors
from mlx_lm.utils import load_model

from providers.chat.types import SamplingParams
from providers.engines.sampling import batched_step, samplers
from providers.engines.sampling.batched_step import DecodingBatch
from providers.engines.sampling.host_plan import reads_values
from providers.engines.sampling.joint import JointSampler
from providers.engines.sampling.logprobs import LogprobRecorder
from providers.engines.sampling.penalties import (
    Bias,
    CountPenalty,
    HostPenalties,
    JointPenalties,
    RepetitionPenalty,
    joins,
)
from providers.engines.sampling.samplers import make_sampler
from providers.engines.sampling.settings import Settings, make_processors, resolve
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.inprocess import SteppedEngine

VOCABULARY = 300
ROWS = {
    "greedy": SamplingParams(temperature=0.0),
    "warm": SamplingParams(temperature=1.4),
    "nucleus": SamplingParams(temperature=1.2, top_p=0.7),
    "likely": SamplingParams(temperature=1.2, min_p=0.05),
    "few": SamplingParams(temperature=1.5, top_k=9, top_p=0.9, min_p=0.01),
    "some": SamplingParams(temperature=1.5, top_k=120),
    "no top choice": SamplingParams(temperature=1.1, xtc_probability=0.5, xtc_threshold=0.02),
    "not again": SamplingParams(temperature=0.0, repetition_penalty=1.8, repetition_context_size=5),
    "counted": SamplingParams(temperature=0.9, frequency_penalty=1.5, presence_penalty=0.5),
    "everything": SamplingParams(
        temperature=1.3, top_p=0.95, repetition_penalty=1.3, frequency_penalty=0.4, logit_bias={7: 3.0, 9: -100.0}
    ),
    "biased": SamplingParams(temperature=0.0, logit_bias={11: 0.8}),
    "long memory": SamplingParams(temperature=0.0, repetition_penalty=1.2, repetition_context_size=1000),
}


def seeded(number: int, params: SamplingParams) -> SamplingParams:
    return msgspec.structs.replace(params, seed=number, logit_bias={**(params.logit_bias or {}), tiny.END: -100.0})


def test_answers_of_mixed_settings_equal_the_separate_ones(tmp_path: Path, drawing: str) -> None:
    """Outputs of different lengths: sequences enter and leave the batch while others stay."""
    folder = tiny.write_folder(tmp_path)

    def answers(rows: int) -> list[str]:
        engine = SteppedEngine(folder, warmup=False, max_concurrency=rows, prefix_cache_bytes=0)
        given = [
            engine.submit(name, f"tell me {name}", sampling=seeded(number, params), max_tokens=5 + 3 * number)
            for number, (name, params) in enumerate(ROWS.items())
        ]
        engine.run()
        return [answer.text for answer in given]

    alone = answers(1)
    assert len(set(alone)) == len(ROWS)
    assert answers(5) == alone
    assert answers(len(ROWS)) == alone


def random_logits(rows: int, step: int) -> mx.array:
    return mx.random.normal((rows, VOCABULARY), key=mx.random.key(step)) * 3


@pytest.fixture(params=["host", "device"])
def drawing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What draws in this test: numpy, or the operations for a GPU."""
    for module in (samplers, batched_step):
        monkeypatch.setattr(module, "on_host", lambda: request.param == "host")
    return str(request.param)


def tokens_of(plan: Any, fed: mx.array, logits: mx.array) -> list[int]:
    """The tokens that a step draws."""
    tokens = plan(fed, logits)
    mx.eval(plan.state)
    plan.settle()
    found: list[int] = tokens.tolist()
    return found


@pytest.mark.parametrize("precision", [mx.float32, mx.bfloat16], ids=["float32", "bfloat16"])
def test_rows_draw_what_their_own_samplers_draw_even_when_they_part(precision: mx.Dtype, drawing: str) -> None:
    settings = [resolve(params, {}, vocabulary=VOCABULARY) for params in ROWS.values()]
    alone = [make_sampler(each, seed) for seed, each in enumerate(settings)]
    together = [make_sampler(each, seed) for seed, each in enumerate(settings)]
    _, plan = made_plan([None] * len(ROWS), together)
    for step in range(30):
        logits = random_logits(len(ROWS), step).astype(precision)
        expected = [sampler(logits[row : row + 1]).item() for row, sampler in enumerate(alone)]
        if step == 20:
            plan.release()
            _, plan = made_plan([None] * len(ROWS), together)
        assert tokens_of(plan, mx.zeros(len(ROWS), dtype=mx.uint32), logits) == expected


def test_numpy_draws_what_a_gpu_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = [resolve(params, {}, vocabulary=VOCABULARY) for params in ROWS.values()]
    found = []
    for host in (True, False):
        monkeypatch.setattr(samplers, "on_host", lambda host=host: host)
        seeded = [make_sampler(each, seed) for seed, each in enumerate(settings)]
        drawn = [[each(random_logits(1, step)).item() for each in seeded] for step in range(30)]
        found.append(drawn)
    assert found[0] == found[1]


def test_unseeded_rows_of_one_batch_draw_differently() -> None:
    joint = JointSampler([make_sampler(Settings(temperature=1.0 + row / 100), None) for row in range(32)])
    flat = mx.zeros((32, 4096))
    assert len({*joint(flat).tolist(), *joint(flat).tolist()}) > 32


@pytest.mark.parametrize("precision", [mx.float32, mx.bfloat16], ids=["float32", "bfloat16"])
def test_penalties_of_many_rows_are_those_of_each(precision: mx.Dtype) -> None:
    """Also where numpy applies them to each row."""
    chains = [[make_processors(params, {}) for params in ROWS.values()] for _ in range(3)]
    rng = np.random.default_rng(0)
    tokens = [rng.integers(0, VOCABULARY, 1 + row).tolist() for row in range(len(ROWS))]
    for row, each in enumerate(zip(*chains, strict=True)):
        for chain in each:  # the prompt's own step is never a joint one
            for processor in chain:
                processor(mx.array(tokens[row]), random_logits(1, 0))
    joined = [joins(chain) for chain in chains[1]]
    assert joined == [name != "long memory" for name in ROWS]
    joint = JointPenalties([chain if each else () for chain, each in zip(chains[1], joined, strict=True)], tokens)
    hosts = [HostPenalties(chain if joined[row] else (), tokens[row]) for row, chain in enumerate(chains[2])]
    for step in range(1, 12):
        fed = rng.integers(0, 20, len(ROWS)).tolist()
        logits = random_logits(len(ROWS), step).astype(precision)
        expected = []
        for row, chain in enumerate(chains[0]):
            line = logits[row : row + 1]
            for processor in chain if joined[row] else ():
                line = processor(mx.array([*tokens[row], fed[row]]), line)
            expected.append(np.array(line.astype(mx.float32)))
        found = joint(mx.array(fed), logits)
        assert found.dtype == precision
        assert np.allclose(np.array(found.astype(mx.float32)), np.concatenate(expected), rtol=1e-6, atol=1e-6)
        for row, host in enumerate(hosts):
            line = host(fed[row], np.array(logits[row].astype(mx.float32)))
            tolerance = 1e-6 if precision == mx.float32 else 0.05
            assert np.allclose(line, expected[row][0], rtol=tolerance, atol=tolerance)
        for known, token in zip(tokens, fed, strict=True):
            known.append(token)
    joint.release()
    for host in hosts:
        host.release()
    for some in chains[1:]:
        counted = [one for chain in some for one in chain if hasattr(one, "counts")]
        assert [one.counts.sum().item() for one in counted] == [11.0] * len(counted)


def test_the_prompts_last_token_is_not_counted_where_the_first_step_is_a_joint_one() -> None:
    new, replayed, older = (CountPenalty(presence=0.0, frequency=1.0) for _ in range(3))
    replayed.replay([1])
    older(mx.array([0]), mx.zeros((1, 3)))
    joint = JointPenalties([[new], [replayed], [older]], [[0], [0], [0]])
    first = joint(mx.array([2, 2, 2]), mx.zeros((3, 3))).tolist()
    assert first == [[0.0, 0.0, 0.0], [0.0, -1.0, -1.0], [0.0, 0.0, -1.0]]
    second = joint(mx.array([2, 2, 2]), mx.zeros((3, 3))).tolist()
    assert second == [[0.0, 0.0, -1.0], [0.0, -1.0, -2.0], [0.0, 0.0, -2.0]]

    host = HostPenalties([CountPenalty(presence=0.0, frequency=1.0)], [0])
    assert [host(2, np.zeros(3, dtype=np.float32)).tolist() for _ in range(2)] == [[0.0, 0.0, 0.0], [0.0, 0.0, -1.0]]


def test_steps_are_mlx_lms(tmp_path: Path) -> None:
    """With samplers and processors of other libraries, too."""
    model, _ = load_model(tiny.write_folder(tmp_path))
    prompts = [[5, 6, 7], [9] * 20, [3, 1], [8, 9, 10, 11]]
    samplers = [lambda logprobs, nth=nth: mx.argsort(logprobs, axis=-1)[:, -nth] for nth in (1, 2, 1, 3)]
    processors: list[Any] = [[], make_logits_processors(repetition_penalty=1.5), [], []]

    def generated(batch: type | None) -> dict[int, list[int]]:
        generator: Any = BatchGenerator(model, max_tokens=12)
        if batch is not None:
            generator._generation_batch = batch.empty(model, generator.sampler)
        found: dict[int, list[int]] = {}
        uids = generator.insert(prompts, [4, 12, 7, 9], samplers=samplers, logits_processors=processors)
        while len(found) < len(uids) or len(generator._generation_batch):
            for response in generator.next()[1]:
                found.setdefault(response.uid, []).append(response.token)
        return found

    assert generated(DecodingBatch) == generated(None)


def test_chains_join_in_the_order_of_penalties_counts_and_bias() -> None:
    penalty, count, bias = RepetitionPenalty(1.5, 5), CountPenalty(1.0, 0.0), Bias({1: 2.0})
    for chain in ([], [penalty], [count], [bias], [penalty, count], [penalty, bias], [penalty, count, bias]):
        assert joins(chain)
    for chain in ([count, penalty], [bias, count], [bias, penalty], [bias, bias], [penalty, count, count]):
        assert not joins(chain)
    assert not joins([penalty, lambda tokens, logits: logits])
    assert joins([RepetitionPenalty(1.5, 256)])
    assert not joins([RepetitionPenalty(1.5, 257)])


def test_a_repetition_penalty_of_one_token_sees_only_the_one_that_is_fed() -> None:
    chains = [[RepetitionPenalty(2.0, 1)], [RepetitionPenalty(4.0, 3)], [RepetitionPenalty(2.0, 2)]]
    joint = JointPenalties(chains, [[5, 6], [1, 2, 3], [8, 0]])
    logits = mx.array([[4.0] * 4 + [-4.0] + [4.0] * 4] * 3)
    assert joint(mx.array([4, 4, 4]), logits).tolist() == [
        [4.0, 4.0, 4.0, 4.0, -8.0, 4.0, 4.0, 4.0, 4.0],
        [4.0, 4.0, 1.0, 1.0, -16.0, 4.0, 4.0, 4.0, 4.0],
        [2.0, 4.0, 4.0, 4.0, -8.0, 4.0, 4.0, 4.0, 4.0],
    ]


def test_rows_without_processors_stay_as_they_are_and_counts_go_back_to_their_rows() -> None:
    counted = CountPenalty(presence=1.0, frequency=0.5)
    counted(mx.array([2]), mx.zeros((1, 3)))
    joint = JointPenalties([[], [counted, Bias({0: 3.0})]], [[1], [2]])
    assert len(joint.state) == 0
    for expected in ([3.0, 0.0, -1.5], [3.0, 0.0, -2.0]):
        found = joint(mx.array([2, 2]), mx.zeros((2, 3)))
        assert found.tolist() == [[0.0, 0.0, 0.0], expected]
    assert len(joint.state) == 1
    joint.release()
    assert counted.counts is not None
    assert counted.counts.tolist() == [[0.0, 0.0, 2.0]]


class Fed:
    """The tokens of a sequence whose processors are called one by one."""

    def __init__(self) -> None:
        self.tokens = [1]

    def update_and_fetch(self, fed: mx.array) -> mx.array:
        self.tokens += cast("list[int]", fed.tolist())
        return mx.array(self.tokens)

    @property
    def state(self) -> mx.array:
        return mx.array(self.tokens)


class Batch:
    """What a plan reads of a batch."""

    reads_values = False

    def __init__(self, chains: list[Any], samplers: list[Any]) -> None:
        self.uids = [7 + row for row in range(len(chains))]
        self.logits_processors = chains
        self.samplers = samplers
        self.fallback_sampler = make_sampler(Settings(temperature=0.0), None)
        self.tokens = [[1, 2] for _ in chains]
        self.contexts = [Fed() for _ in chains]
        self.renewed: list[int] = []

    def renew_contexts(self, rows: list[int]) -> None:
        self.renewed += rows


def made_plan(chains: list[Any], samplers: list[Any]) -> tuple[Batch, Any]:
    batch = Batch(chains, samplers)
    return batch, DecodingBatch.make_plan(cast("DecodingBatch", batch))


def add_where_fed(tokens: mx.array, logits: mx.array) -> mx.array:
    """A processor of another library, which is called for its own sequence only."""
    return logits.at[:, tokens[-1:]].add(1.0)


def test_each_row_gets_its_own_processors_once() -> None:
    own: Any = lambda logits: logits  # noqa: E731
    chains = [[add_where_fed, Bias({0: 2.0})], [Bias({1: 4.0})], None, [RepetitionPenalty(2.0, 257)]]
    batch, plan = made_plan(chains, [own] * 4)
    found = plan(mx.array([2, 2, 2, 2]), mx.array([[8.0] * 3] * 4))
    assert found.tolist() == [[10.0, 8.0, 9.0], [8.0, 12.0, 8.0], [8.0, 8.0, 8.0], [8.0, 4.0, 4.0]]
    assert [each.tolist() for each in plan.state] == [[1, 2], [1, 2]], "of the first and the last row"
    plan.release()
    assert batch.renewed == [1], "the only one whose tokens were not followed one by one"


def test_rows_whose_processors_are_all_of_another_library_are_processed_one_by_one() -> None:
    own: Any = lambda logits: logits  # noqa: E731
    _, plan = made_plan([[add_where_fed], [add_where_fed]], [own] * 2)
    assert plan(mx.array([0, 1]), mx.zeros((2, 2))).tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_a_row_without_processors_is_not_followed() -> None:
    batch, plan = made_plan([None], [None])
    assert plan(mx.array([2]), mx.array([[1.0, 3.0, 2.0]])).tolist() == [1]
    assert (plan.state, batch.contexts[0].tokens) == ([], [1])


def test_rows_with_the_same_sampler_are_sampled_in_one_call() -> None:
    calls = []

    def sampler(logits: mx.array) -> mx.array:
        calls.append(logits.shape)
        return mx.argmin(logits, axis=-1)

    _, plan = made_plan([None] * 3, [sampler] * 3)
    assert plan(mx.array([0, 0, 0]), mx.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])).tolist() == [1, 0, 1]
    assert calls == [(3, 2)]

    _, plan = made_plan([None] * 3, [sampler, None, sampler])
    assert plan(mx.array([0, 0, 0]), mx.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])).tolist() == [1, 1, 1]
    assert calls[1:] == [(1, 2), (1, 2)]


def test_a_seed_goes_on_from_where_the_batch_left_it(drawing: str) -> None:
    settings = Settings(temperature=1.5)
    alone = make_sampler(settings, 3)
    expected = [alone(random_logits(1, step)).item() for step in range(6)]

    seeded = make_sampler(settings, 3)
    _, plan = made_plan([None] * 2, [None, seeded])
    found = []
    for step in range(3):
        logits = mx.repeat(random_logits(1, step), 2, axis=0)
        found.append(tokens_of(plan, mx.array([0, 0]), logits)[1])
    plan.release()
    assert [*found, *(seeded(random_logits(1, step)).item() for step in range(3, 6))] == expected


def test_a_step_is_built_before_the_tokens_of_the_one_before_are_drawn() -> None:
    """numpy draws them when the next step is built, or when they are wanted."""
    rows = [make_sampler(Settings(temperature=0.5), 1), make_sampler(Settings(top_k=2), 2)]
    _, plan = made_plan([None] * 2, rows)
    sure = mx.array([[0.0, 99.0, 0.0], [99.0, 0.0, 0.0]])
    first = plan(mx.array([2, 2]), sure)
    embedded = mx.array([10.0, 20.0, 30.0])[first]
    assert first.tolist() == [0, 0], "not drawn yet"
    second = plan(first, sure[::-1])
    assert (first.tolist(), embedded.tolist()) == ([1, 0], [20.0, 10.0])
    plan.settle()
    assert second.tolist() == [0, 1]


def test_a_model_that_reads_values_while_its_graph_is_built_finds_the_tokens_drawn() -> None:
    batch = Batch([None] * 2, [make_sampler(Settings(temperature=0.5), 1)] * 2)
    batch.reads_values = True
    plan = DecodingBatch.make_plan(cast("DecodingBatch", batch))
    assert plan(mx.array([2, 2]), mx.array([[0.0, 99.0, 0.0], [99.0, 0.0, 0.0]])).tolist() == [1, 0]
    arguments = dbrx.ModelArgs(
        model_type="dbrx",
        vocab_size=9,
        d_model=8,
        n_layers=1,
        n_heads=2,
        attn_config={"kv_n_heads": 1, "clip_qkv": 8, "rope_theta": 1e4},
        ffn_config={"ffn_hidden_size": 8, "moe_num_experts": 2, "moe_top_k": 1},
    )
    assert reads_values(dbrx.Model(arguments))
    assert not reads_values(llama.Model(llama.ModelArgs.from_dict(tiny.config())))


class Letters:
    """A vocabulary whose tokens are letters."""

    def piece(self, token: int) -> tuple[str, bytes]:
        letter = chr(0x100 + token)
        return letter, letter.encode()


def test_log_probabilities_of_a_batch_are_those_of_each_row(drawing: str) -> None:
    """Of the model's own logits: before penalties, and beside rows that are processed one by one."""
    vocabulary: Any = Letters()
    tops = (None, 0, 3, 20)
    told: list[list[Any]] = []
    for together in (False, True):
        counted = [CountPenalty(presence=0.5, frequency=1.0) for _ in tops]
        drawn = [make_sampler(Settings(temperature=0.7, top_k=9), seed) for seed in range(len(tops))]
        recorders = [LogprobRecorder(one, vocabulary, top or 0) for one, top in zip(drawn, tops, strict=True)]
        chains: list[Any] = [[one] for one in counted]
        for row, recorder in enumerate(recorders):
            chains[row] = [recorder.note_logits, *chains[row], *([add_where_fed] if row == 3 else [])]
        for one in counted:
            one(mx.array([1]), mx.zeros((1, VOCABULARY)))
        answers: list[Any] = []
        _, plan = made_plan([chains[0][1:], *chains[1:]], [drawn[0], *recorders[1:]])
        for step in range(4):
            logits, fed = random_logits(len(tops), step), [5 + step] * len(tops)
            if together:
                tokens = tokens_of(plan, mx.array(fed), logits)
            else:
                tokens = [one_by_one(chains[row], recorders[row], logits[row : row + 1], fed[row]) for row in range(4)]
            answers.append([recorder.take(token) for recorder, token in zip(recorders[1:], tokens[1:], strict=True)])
        told.append(answers)
    for alone, joint in zip(*told, strict=True):
        for one, other in zip(alone, joint, strict=True):
            assert (one.token, [piece[0] for piece in one.top]) == (other.token, [piece[0] for piece in other.top])
            assert one.logprob == pytest.approx(other.logprob, abs=1e-4)
            assert [each[2] for each in one.top] == pytest.approx([each[2] for each in other.top], abs=1e-4)


def one_by_one(chain: list[Any], sampler: Any, logits: mx.array, fed: int) -> int:
    for processor in chain:
        logits = processor(mx.array([fed]), logits)
    return int(sampler(logits).item())


def test_pictures_in_a_prompt_have_no_logits_to_penalise() -> None:
    logits, context = [[1.0, 2.0, 3.0, 4.0]], [-1, -70_000, 2]

    alone = RepetitionPenalty(2.0, 3)(mx.array([*context, 1]), mx.array(logits))
    joint = JointPenalties([[RepetitionPenalty(2.0, 4)]], [context])(mx.array([1]), mx.array(logits))

    assert alone.tolist() == [[1.0, 1.0, 1.5, 4.0]]
    assert joint.tolist() == alone.tolist()

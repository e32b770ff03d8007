"""mlx-lm's own answer to whether it can split a model, for every family that it can split."""

from __future__ import annotations

import json
from pathlib import Path

import mlx.core as mx
import pytest

from providers.engines.group import shardable
from providers.engines.group.shardable import check_shardable
from providers.engines.process.engine import EngineLoadError
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.group import families
from tests.unit.providers.engines.group.families import LAYERS, pipelined_families, sharded_families


@pytest.fixture
def few_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each try builds the model again."""
    monkeypatch.setattr(shardable, "_TRIED", 3)


@pytest.mark.parametrize("family", sharded_families())
def test_every_family_with_shard_is_accepted_where_its_heads_divide(tmp_path: Path, family: str) -> None:
    check_shardable(families.write(tmp_path, family), 2, "tensor")


@pytest.mark.usefixtures("few_tries")
@pytest.mark.parametrize("family", sharded_families())
def test_heads_that_do_not_divide_are_refused_with_numbers_that_work(tmp_path: Path, family: str) -> None:
    folder = families.write(tmp_path, family)

    with pytest.raises(EngineLoadError, match=rf"{family} cannot .* 3 ranks: num_attention_heads is 4.*it can by 2"):
        check_shardable(folder, 3, "tensor")


@pytest.mark.usefixtures("few_tries")
@pytest.mark.parametrize("family", pipelined_families())
def test_every_family_with_pipeline_takes_up_to_one_rank_per_layer(tmp_path: Path, family: str) -> None:
    folder = families.write(tmp_path, family)

    check_shardable(folder, 2, "pipeline")
    with pytest.raises(EngineLoadError, match=rf"{family} cannot .* 5 ranks: it has {LAYERS} layers; it can by 2"):
        check_shardable(folder, LAYERS + 1, "pipeline")


def test_a_family_without_shard_or_pipeline_is_named(tmp_path: Path) -> None:
    folder = tiny.write_recurrent_folder(tmp_path)

    with pytest.raises(EngineLoadError, match=r"mamba2 .* mlx-lm has no `shard` for this family$"):
        check_shardable(folder, 2, "tensor")
    with pytest.raises(EngineLoadError, match=r"mamba2 .* mlx-lm has no `pipeline` for this family$"):
        check_shardable(folder, 2, "pipeline")


def test_heads_that_mlx_lm_would_round_down_are_refused(tmp_path: Path) -> None:
    # The 2 x 16 outputs of k_proj divide by 4; the heads do not, and `//=` would leave none.
    folder = families.write(tmp_path, "qwen2")

    with pytest.raises(EngineLoadError, match=r"n_kv_heads is 2 \(model\.layers\.0\.self_attn\), which 4 does not"):
        check_shardable(folder, 4, "tensor")


def test_key_heads_may_be_fewer_than_ranks_where_the_family_repeats_them(tmp_path: Path) -> None:
    folder = families.write(tmp_path, "qwen3_5", linear_num_key_heads=4)

    check_shardable(folder, 4, "tensor")


def test_values_that_a_family_would_drop_are_refused(tmp_path: Path) -> None:
    # 66 // 4 values per rank would leave 2 out.
    folder = families.write(tmp_path, "muse_spark", num_key_value_heads=4, moe_intermediate_size=66)

    with pytest.raises(EngineLoadError, match=r"experts\.\w+\.weight has \d+ values, which 4 does not divide; it can"):
        check_shardable(folder, 4, "tensor")


def test_groups_of_quantised_weights_must_divide(tmp_path: Path) -> None:
    # 96 inputs of down_proj divide by 2, their 3 groups of 32 do not.
    folder = families.write(tmp_path, "qwen2", intermediate_size=96, quantised=32)

    with pytest.raises(EngineLoadError, match=r"mlp\.down_proj \(quantised in groups of 32\)"):
        check_shardable(folder, 2, "tensor")
    check_shardable(families.write(tmp_path / "wider", "qwen2", quantised=32), 2, "tensor")


def test_no_weight_is_evaluated(tmp_path: Path) -> None:
    # muse_spark evaluates each shard of its experts: 4 x 4 x 512 x 2048 numbers of 4 bytes in each of 3 weights.
    folder = families.write(tmp_path, "muse_spark", moe_intermediate_size=2048, moe_hidden_size=512)
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    evaluate = mx.eval

    check_shardable(folder, 2, "tensor")

    assert mx.get_peak_memory() - before < 1 << 20
    assert mx.eval is evaluate


def test_a_folder_that_mlx_lm_does_not_know_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no_such_family"}))

    with pytest.raises(EngineLoadError, match="no_such_family not supported"):
        check_shardable(tmp_path, 2, "tensor")


def test_the_program_prints_both_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    families.write(tmp_path, "qwen3")
    monkeypatch.setattr("sys.argv", ["shardable", str(tmp_path), "2"])

    shardable.main()

    answers = json.loads(capsys.readouterr().out)
    assert answers["tensor"] is None
    assert (
        answers["pipeline"]
        == "qwen3 cannot be served by a pipeline of 2 ranks: mlx-lm has no `pipeline` for this family"
    )

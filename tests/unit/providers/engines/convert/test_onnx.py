"""Quantised weights are read as the numbers that the operators compute with, under the modules' names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from providers.engines.convert.onnx import OnnxError, read_weights

Array = NDArray[Any]


class Export:
    """A file as onnxruntime's dynamic quantiser writes it, operator by operator."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, value: Array) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def add(self, operator: str, inputs: Sequence[str], outputs: Sequence[str], name: str = "", **options: Any) -> None:
        self.nodes.append(helper.make_node(operator, inputs, outputs, name=name, **options))

    def quantised(self, operator: str, name: str, weight: Array, scale: Array, zero: Array) -> None:
        """An operator from `x` to `y`: activations are quantised before it, and the product is scaled after a cast."""
        integers, factor, point = (
            self.constant(name + part, value)
            for part, value in (("_quantized", weight), ("_scale", scale), ("_zero_point", zero))
        )
        self.add("DynamicQuantizeLinear", ["x"], ["x_integers", "x_scale", "x_zero"])
        self.add(operator, ["x_integers", integers, "x_zero", point], ["product"], name)
        self.add("Cast", ["product"], ["cast"], to=TensorProto.FLOAT)
        self.add("Mul", ["x_scale", factor], ["scales"])
        self.add("Mul", ["cast", "scales"], ["y"])

    def model(self) -> Any:
        signal = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy"]
        graph = helper.make_graph(self.nodes, "export", signal[:1], signal[1:], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])

    def read(self, folder: Path) -> dict[str, NDArray[np.float32]]:
        onnx.save(self.model(), folder / "model.onnx")
        return read_weights(folder / "model.onnx")


def integers(*shape: int) -> NDArray[np.int8]:
    return np.random.default_rng(sum(shape)).integers(-128, 128, shape, dtype=np.int8)


@pytest.mark.parametrize("zero", [np.int8(0), np.int8(-5)])
def test_a_linear_layer_s_weight_is_what_its_operator_multiplies_by(tmp_path: Path, zero: np.int8) -> None:
    export = Export()
    export.quantised("MatMulInteger", "/encoder/proj/MatMul_quant", integers(6, 4), np.float32(0.02), np.array(zero))
    ((name, weight),) = export.read(tmp_path).items()

    # A signal whose quantisation is exact: 255 steps from -1 to 1.
    x = (np.arange(18, dtype=np.float32).reshape(3, 6) * 15 - 128) / 127.5
    x = np.clip(np.append(x, [[-1, 1, -1, 1, -1, 1]], axis=0), -1, 1).astype(np.float32)
    (y,) = ReferenceEvaluator(export.model()).run(None, {"x": x})
    assert name == "proj.weight"
    assert weight.shape == (4, 6)
    np.testing.assert_allclose(x @ weight.T, y, atol=0.06)


@pytest.mark.parametrize("channels", [1, 5])
def test_a_convolution_s_weight_has_a_scale_for_each_channel_or_one_for_all(tmp_path: Path, channels: int) -> None:
    quantised = integers(5, 3, 7)
    scale = np.linspace(0.01, 0.05, channels, dtype=np.float32)
    zero = np.arange(channels, dtype=np.int8)
    export = Export()
    export.quantised(
        "ConvInteger",
        "/decoder/decoder/encode/conv1/Conv_quant",
        quantised,
        scale.reshape(1, -1, 1) if channels > 1 else scale[0],
        zero if channels > 1 else zero[0],
    )
    ((name, weight),) = export.read(tmp_path).items()

    assert name == "decoder.encode.conv1.weight"
    expected = (quantised.astype(np.float64) - zero.reshape(-1, 1, 1)) * scale.reshape(-1, 1, 1)
    np.testing.assert_allclose(weight, expected, rtol=1e-6)


def test_an_embedding_is_dequantised_whole(tmp_path: Path) -> None:
    table = integers(10, 4).view(np.uint8)
    export = Export()
    names = [
        export.constant(name, value)
        for name, value in (("table", table), ("s", np.float32(0.1)), ("z", np.uint8(128)), ("at", np.array([2])))
    ]
    export.add("Gather", [names[0], names[3]], ["taken"], "/encoder/text_encoder/embedding/Gather")
    export.add("DequantizeLinear", ["taken", *names[1:3]], ["y"], "/encoder/text_encoder/embedding/Gather_dequant")

    weight = export.read(tmp_path)["text_encoder.embedding.weight"]
    np.testing.assert_allclose(weight, (table.astype(np.float32) - 128) * 0.1, rtol=1e-6)


def test_an_lstm_s_directions_have_their_gates_in_pytorch_s_order(tmp_path: Path) -> None:
    hidden, width = 2, 3
    # The gates in ONNX's order, input, output, forget, cell, are full of 1 to 4; the backward ones of 11 to 14.
    gate = np.repeat(np.arange(1, 5, dtype=np.int8), hidden)
    both = np.stack([gate, gate + 10])
    to_input = np.repeat(both[:, None], width, axis=1)
    to_hidden = np.repeat(both[:, None], hidden, axis=1)
    bias = np.concatenate([both, both + 20], axis=1).astype(np.float32)
    scale, zero = np.array([0.5, 2.0], np.float32), np.zeros(2, np.int8)
    export = Export()
    given = {"w": to_input, "r": to_hidden, "b": bias, "ws": scale, "wz": zero, "rs": scale * 2, "rz": zero}
    w, r, b, ws, wz, rs, rz = (export.constant(name, value) for name, value in given.items())
    inputs = ["x", w, r, b, "", "", "", "", ws, wz, rs, rz]
    export.add("DynamicQuantizeLSTM", inputs, ["y"], "/encoder/predictor/lstm/LSTM_quant", domain="com.microsoft")
    weights = export.read(tmp_path)

    def gates(name: str) -> list[float]:
        found = weights[f"predictor.lstm.{name}"]
        assert found.shape == ((4 * hidden, *found.shape[1:]))
        return [float(value) for value in found.reshape(4, -1)[:, 0]]

    assert weights["predictor.lstm.weight_ih_l0"].shape == (4 * hidden, width)
    assert weights["predictor.lstm.weight_hh_l0_reverse"].shape == (4 * hidden, hidden)
    assert gates("weight_ih_l0") == [0.5, 1.5, 2.0, 1.0]
    assert gates("weight_ih_l0_reverse") == [22, 26, 28, 24]
    assert gates("weight_hh_l0") == [1, 3, 4, 2]
    assert gates("weight_hh_l0_reverse") == [44, 52, 56, 48]
    assert gates("bias_ih_l0") == [1, 3, 4, 2]
    assert gates("bias_hh_l0_reverse") == [31, 33, 34, 32]


def test_float_weights_keep_their_names_and_shared_layers_are_taken_once(tmp_path: Path) -> None:
    export = Export()
    plain = np.ones((2, 1, 3), np.float32)
    export.constant("encoder.predictor.F0.0.norm1.fc.bias", plain[0])
    export.constant("encoder.bert.scale_scale", plain[0])
    kernel = export.constant("kernel", plain)
    export.add("Conv", ["x", kernel], ["y"], "/encoder/F0_proj/Conv")
    repeated = export.constant("repeated", integers(2, 2))
    path = "/encoder/bert/encoder/albert_layer_groups.0/albert_layers.0/attention/query_1/MatMul_quant"
    export.add("MatMulInteger", ["x", repeated], ["z"], path)
    weights = export.read(tmp_path)

    assert set(weights) == {"predictor.F0.0.norm1.fc.bias", "predictor.F0_proj.weight"}


def test_an_export_that_is_not_kokoro_s_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OnnxError, match="no weights"):
        Export().read(tmp_path)
    lost = Export()
    lost.add("MatMulInteger", ["x", lost.constant("w", integers(2, 2))], ["y"], "/encoder/proj/MatMul_quant")
    lost.add("Identity", ["y"], ["end"])
    with pytest.raises(OnnxError, match="its scale was not found"):
        lost.read(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"\xff\xfe no such thing")
    with pytest.raises(OnnxError, match="not a readable ONNX file"):
        read_weights(tmp_path / "model.onnx")

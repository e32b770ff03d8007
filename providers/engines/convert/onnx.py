"""Weights of a dynamically quantised ONNX export of Kokoro, under the names of its PyTorch modules.

onnxruntime's quantiser stores every weight as integers beside the operator that reads them, and its scale further down
the graph. The operators keep the module's path in their names. Float weights that no operator shares stay initialisers
under their own names. All weights are returned as float32 in PyTorch's layouts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["OnnxError", "read_weights"]

Array = NDArray[np.float32]

_PASSED_BY = 8
"""The most operators between an integer product and the one that scales it."""


class OnnxError(ValueError):
    """The file is not the export for which this reader was written."""


def read_weights(path: Path) -> dict[str, Array]:
    """Every weight of the file, dequantised.

    Raises:
        OnnxError: the file is not ONNX, or its graph has another structure.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path))
    except DecodeError as error:
        raise OnnxError(f"not a readable ONNX file: {error}") from error
    graph = _Graph(model.graph)
    weights: dict[str, Array] = {}
    for node in model.graph.node:
        weights.update(graph.weights_of(node))
    for name, value in graph.constants.items():
        if value.dtype == np.float32 and _is_parameter(name):
            weights.setdefault(name.split(".", 1)[1], value)
    if not weights:
        raise OnnxError("no weights of Kokoro in it")
    return weights


def _is_parameter(name: str) -> bool:
    return (
        name.startswith(("encoder.", "decoder."))
        and not name.endswith(("_scale", "_quantized"))
        and "stft" not in name
        and "zero_point" not in name
    )


class _Graph:
    """The constants of a graph, and the nodes that read and write each value."""

    def __init__(self, graph: Any) -> None:
        from onnx import numpy_helper

        self.constants: dict[str, NDArray[Any]] = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
        self._readers: dict[str, list[Any]] = {}
        self._writers: dict[str, Any] = {}
        for node in graph.node:
            for attribute in node.attribute if node.op_type == "Constant" else ():
                if attribute.name == "value":
                    self.constants[node.output[0]] = numpy_helper.to_array(attribute.t)
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
            for name in node.output:
                self._writers[name] = node

    def weights_of(self, node: Any) -> Iterator[tuple[str, Array]]:
        """The weights that this operator holds, as (name, weight). Most operators hold none."""
        path = _module_path(node.name)
        if node.op_type in ("ConvInteger", "MatMulInteger") and node.input[1] in self.constants:
            if not _is_repeated(path):
                yield f"{path}.weight", self._dequantized(node)
        elif node.op_type in ("Conv", "ConvTranspose") and node.input[1] in self.constants and "stft" not in node.name:
            yield f"{path}.weight", self.constants[node.input[1]]
        elif node.op_type == "MatMul" and node.input[1] in self.constants:
            yield f"{path}.weight", self.constants[node.input[1]].T
        elif node.op_type == "DequantizeLinear":
            table = self.constants[self._writers[node.input[0]].input[0]]
            yield f"{path}.weight", _scaled(table, self.constants[node.input[1]], self.constants[node.input[2]])
        elif node.op_type == "DynamicQuantizeLSTM":
            yield from self._lstm(node, path)

    def _dequantized(self, node: Any) -> Array:
        weight = self.constants[node.input[1]]
        zero = self.constants[node.input[3]] if len(node.input) > 3 and node.input[3] else np.zeros((), np.float32)
        scale = self._scale(node)
        if node.op_type == "MatMulInteger":
            return _scaled(weight, scale, zero).T
        rows = (-1, 1, 1)  # a scale and a zero per output channel, or one for all
        return _scaled(
            weight, scale.reshape(rows if scale.size > 1 else ()), zero.reshape(rows if zero.size > 1 else ())
        )

    def _scale(self, node: Any) -> NDArray[Any]:
        """The factor of the product, without the scale of the activations."""
        name = node.output[0]
        for _ in range(_PASSED_BY):
            readers = self._readers.get(name, [])
            products = [reader for reader in readers if reader.op_type == "Mul"]
            if products:
                other = next(operand for operand in products[0].input if operand != name)
                while other in self._writers and self._writers[other].op_type != "Mul":
                    other = self._writers[other].input[0]
                found = [operand for operand in self._writers[other].input if operand in self.constants]
                return self.constants[found[0]]
            if not readers:
                break
            name = readers[0].output[0]
        raise OnnxError(f"{node.name}: its scale was not found")

    def _lstm(self, node: Any, path: str) -> Iterator[tuple[str, Array]]:
        to_input, to_hidden, bias = (self.constants[name] for name in node.input[1:4])
        input_scale, input_zero, hidden_scale, hidden_zero = (self.constants[name] for name in node.input[8:12])
        half = bias.shape[1] // 2
        for direction, suffix in enumerate(("", "_reverse")):
            at = direction
            yield f"{path}.weight_ih_l0{suffix}", _gates(_scaled(to_input[at], input_scale[at], input_zero[at]).T)
            yield f"{path}.weight_hh_l0{suffix}", _gates(_scaled(to_hidden[at], hidden_scale[at], hidden_zero[at]).T)
            yield f"{path}.bias_ih_l0{suffix}", _gates(bias[at, :half])
            yield f"{path}.bias_hh_l0{suffix}", _gates(bias[at, half:])


def _scaled(integers: NDArray[Any], scale: NDArray[Any], zero: NDArray[Any]) -> Array:
    return ((integers.astype(np.float32) - zero.astype(np.float32)) * scale.astype(np.float32)).astype(np.float32)


def _gates(stacked: Array) -> Array:
    """ONNX stacks an LSTM's gates as input, output, forget, cell; PyTorch as input, forget, cell, output."""
    i, o, f, c = np.split(stacked, 4)
    return np.concatenate([i, f, c, o])


def _is_repeated(path: str) -> bool:
    """ALBERT's layers share their weights: the eleven that repeat the first are exported as `query_1`, `query_2`, …"""
    return "albert" in path and path.rsplit(".", 1)[-1].rsplit("_", 1)[-1].isdigit()


def _module_path(name: str) -> str:
    """`/decoder/decoder/encode/conv1/Conv_quant` → `decoder.encode.conv1`."""
    parts = name.strip("/").split("/")[1:-1]
    if parts and (parts[0] in ("F0_proj", "N_proj", "shared") or parts[0].split(".")[0] in ("F0", "N")):
        parts = ["predictor", *parts]
    path: list[str] = []
    for part in parts:
        if path and part.startswith(path[-1] + "."):  # cnn.0/cnn.0.0
            path[-1] = part
        else:
            path.append(part)
    return ".".join(path)

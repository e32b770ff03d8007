"""Convolutions of the vocoder equal those of MLX, whatever their shape."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from providers.engines.convert.kokoro import convert_voice
from providers.engines.cpu.conv1d import ConvTranspose1d, Depthwise2x
from providers.engines.cpu.conv1d_toom_cook import Convolution
from providers.engines.cpu.kokoro import CPUSnakeBlock
from providers.engines.speech.kokoro.layers import LSTM, SnakeBlock


@pytest.mark.parametrize(
    ("width", "dilation", "length"),
    [(3, 1, 50), (7, 3, 50), (11, 5, 203), (11, 5, 7), (3, 1, 1), (11, 3, 9001), (3, 5, 4096)],
)
def test_a_dilated_convolution_in_place_is_that_of_mlx(width: int, dilation: int, length: int) -> None:
    random = np.random.default_rng(width * length)
    weight = random.normal(size=(8, width, 16)).astype(np.float32)
    x = random.normal(size=(length, 16)).astype(np.float32)
    conv = Convolution(weight, dilation)
    layout = conv.layout(length)
    for at in range(length):
        layout[(at + conv.padding) // dilation, (at + conv.padding) % dilation] = x[at]
    expected = mx.conv1d(mx.array(x)[None], mx.array(weight), 1, conv.padding, dilation)[0]
    # Multiplying at points costs a digit of precision, which at loudness 1 is below the precision of 16 bits.
    np.testing.assert_allclose(conv(layout, length), np.array(expected), atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(("width", "stride"), [(20, 10), (12, 6), (4, 2)])
def test_a_transposed_convolution_is_that_of_mlx(width: int, stride: int) -> None:
    x, weight, bias = mx.random.normal((30, 16)), mx.random.normal((16, width, 8)), mx.random.normal((8,))
    padding = (width - stride) // 2
    expected = mx.conv_transpose1d(x[None], weight.transpose(2, 1, 0), stride, padding)[0] + bias
    made = ConvTranspose1d(weight, bias, stride=stride, padding=padding)(x)
    np.testing.assert_allclose(np.array(made), np.array(expected), atol=2e-5)


def test_doubling_is_a_transposed_convolution_a_channel() -> None:
    x, weight, bias = mx.random.normal((30, 16)), mx.random.normal((16, 3, 1)), mx.random.normal((16,))
    expected = mx.conv_transpose1d(x[None], weight, stride=2, groups=16)[0, 1:] + bias
    np.testing.assert_allclose(np.array(Depthwise2x(weight, bias)(x)), np.array(expected), atol=1e-6)


@pytest.mark.parametrize("length", [1, 130, 4001])
def test_the_blocks_of_the_cpu_are_those_of_mlx_audio(length: int) -> None:
    from mlx_audio.tts.models.kokoro.istftnet import AdaINResBlock1

    mx.random.seed(length)
    block = AdaINResBlock1(8, 3, (1, 3, 5), 16)
    for convs in (block.convs1, block.convs2):
        for conv in convs:
            conv.weight_v, conv.bias = mx.random.normal(conv.weight_v.shape), mx.random.normal(conv.bias.shape)
    x, style = mx.random.normal((length, 8)), mx.random.normal((1, 16))
    expected = np.array(block(x.T[None], style)[0].T)
    np.testing.assert_allclose(np.array(SnakeBlock(block)(x, style)), expected, atol=1e-3)
    np.testing.assert_allclose(CPUSnakeBlock(block)(np.array(x), np.array(style)[0]), expected, atol=1e-3)


def test_both_directions_together_equal_mlx_audio_s() -> None:
    from mlx_audio.tts.models.kokoro import modules

    reference, x = modules.LSTM(12, 6), mx.random.normal((9, 12))
    np.testing.assert_allclose(np.array(LSTM(reference)(x)), np.array(reference(x)[0][0]), atol=1e-5)


def test_a_voice_keeps_its_numbers(tmp_path) -> None:  # type: ignore[no-untyped-def]
    numbers = np.arange(510 * 256, dtype="<f4")
    (tmp_path / "af_x.bin").write_bytes(numbers.tobytes())
    voice = convert_voice(tmp_path / "af_x.bin")
    assert voice.shape == (510, 1, 256)
    assert voice[3, 0, 7].item() == 3 * 256 + 7

"""Kokoro's decoder: from aligned phoneme features, pitch and energy to samples. F: the number of frames of 25 ms."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import mlx.core as mx
import numpy as np

from providers.engines.cpu.conv1d import Conv1d, ConvTranspose1d, fold_weight_norm
from providers.engines.cpu.kokoro import CPUBlocks
from providers.engines.speech.kokoro.layers import Moments, ResBlock, SnakeBlock, leaky, plain_conv

__all__ = ["Decoder"]

_SAMPLE_RATE = 24_000
_VOICED_HERTZ = 10
_SINE = 0.1
_NOISE = 0.003


class Decoder:
    """mlx-audio's `Decoder` and `Generator`."""

    def __init__(self, module: Any, *, on_cpu: bool) -> None:
        self._encode = ResBlock(module.encode)
        self._decode = [ResBlock(block) for block in module.decode]
        self._pitch = plain_conv(module.F0_conv)
        self._energy = plain_conv(module.N_conv)
        self._residual = plain_conv(module.asr_res[0])
        self._generator = _Generator(module.generator, on_cpu=on_cpu)

    def __call__(
        self,
        features: mx.array,
        pitch: mx.array,
        energy: mx.array,
        style: mx.array,
        source: mx.array,
        moments: Moments | None = None,
    ) -> mx.array:
        """Samples, (600 · F,), of F duration frames: 600 samples are 25 ms at 24 kHz.

        Args:
            features: (F, 512).
            pitch: (2 · F,), in hertz.
            energy: (2 · F,).
            style: (1, 128).
            source: (600 · F,), from `source`.
            moments: those of the earlier parts of the same sentence.
        """
        curves = [self._pitch(pitch[:, None]), self._energy(energy[:, None])]
        x = self._encode(mx.concatenate([features, *curves], axis=1), style, moments)
        kept = [self._residual(features), *curves]
        for block in self._decode:
            x = block(mx.concatenate([x, *kept], axis=1), style, moments)
        return self._generator(x, style, source, moments)

    def source(self, pitch: mx.array, key: mx.array) -> mx.array:
        """The excitation, (600 · F,). `pitch`: (2 · F,), in hertz; `key`: the random key of its noise."""
        return self._generator.source(pitch, key)


class _Generator:
    def __init__(self, module: Any, *, on_cpu: bool) -> None:
        self._ups = [
            ConvTranspose1d(fold_weight_norm(up.weight_v, up.weight_g), up.bias, stride=up.stride, padding=up.padding)
            for up in module.ups
        ]
        self._source_convs = [
            Conv1d(conv.weight, conv.bias, stride=conv.stride, padding=conv.padding) for conv in module.noise_convs
        ]
        stages, kernels = len(self._ups), int(module.num_kernels)
        blocks: Blocks = CPUBlocks() if on_cpu else _MLXBlocks()
        self._blocks = blocks
        self._source_blocks = [blocks.make(block) for block in module.noise_res]
        self._stage_blocks = [
            [blocks.make(block) for block in module.resblocks[stage * kernels : (stage + 1) * kernels]]
            for stage in range(stages)
        ]
        self._post = plain_conv(module.conv_post)
        self.source = _Source(module.m_source)
        self._stft = _STFT(module.stft.filter_length, module.stft.hop_length)

    def __call__(self, x: mx.array, style: mx.array, source: mx.array, moments: Moments | None) -> mx.array:
        excitation = self._stft.analyse(source)
        # No block waits for another: if there are threads, they run beside the rest.
        sources = [
            self._blocks.start(block, conv(excitation), style, moments)
            for block, conv in zip(self._source_blocks, self._source_convs, strict=True)
        ]
        for stage, up in enumerate(self._ups):
            x = up(leaky(x, 0.1))
            if stage == len(self._ups) - 1:
                x = mx.concatenate([x[1:2], x])  # reflected, as the model was trained
            x = x + sources[stage]()
            # The last blocks have the widest kernels and take the longest: start them first.
            blocks = reversed(self._stage_blocks[stage])
            started = [self._blocks.start(block, x, style, moments) for block in blocks]
            x = mx.array(sum(result() for result in started)) * (1 / len(started))
        return self._stft.synthesise(self._post(leaky(x, 0.01)))


class Blocks(Protocol):
    """Makes the generator's residual blocks for a device, and runs them."""

    def make(self, module: Any) -> Any: ...

    def start(self, block: Any, x: mx.array, style: mx.array, moments: Moments | None) -> Callable[[], mx.array]:
        """Start a block. Returns a function that waits for its result."""
        ...


class _MLXBlocks:
    def make(self, module: Any) -> SnakeBlock:
        return SnakeBlock(module)

    def start(self, block: SnakeBlock, x: mx.array, style: mx.array, moments: Moments | None) -> Callable[[], mx.array]:
        y = block(x, style, moments)
        return lambda: y


class _Source:
    """mlx-audio's `SourceModuleHnNSF`: a sine of the pitch and its overtones where voiced, noise elsewhere."""

    def __init__(self, module: Any) -> None:
        self._weight, self._bias = module.l_linear.weight, module.l_linear.bias
        self._harmonics = mx.arange(1, module.l_sin_gen.harmonic_num + 2).astype(mx.float32)
        self._scale = int(module.l_sin_gen.upsample_scale)

    def __call__(self, pitch: mx.array, key: mx.array) -> mx.array:
        """(frames,) in hertz → (frames · scale,) samples."""
        turns = (pitch[:, None] * self._harmonics / _SAMPLE_RATE) % 1
        phase = mx.cumsum(turns, axis=0) * (2 * math.pi * self._scale)
        sines = mx.sin(self._stretched(phase)) * _SINE
        voiced = mx.repeat((pitch > _VOICED_HERTZ).astype(mx.float32), self._scale)[:, None]
        noise = mx.random.normal(sines.shape, key=key) * (voiced * _NOISE + (1 - voiced) * (_SINE / 3))
        return mx.tanh(mx.addmm(self._bias, sines * voiced + noise, self._weight.T))[:, 0]

    def _stretched(self, curve: mx.array) -> mx.array:
        """Interpolate linearly to `scale` times the length. The first and last half frame are constant."""
        frames, scale = curve.shape[0], self._scale
        between = (mx.arange(scale) + 0.5) / scale
        after = mx.concatenate([curve, curve[-1:]])
        before = mx.concatenate([curve[:1], curve])
        steps = before[:, None] + (after - before)[:, None] * between[None, :, None]
        half = scale // 2
        return steps.reshape((frames + 1) * scale, -1)[half : half + frames * scale]


class _STFT:
    """Spectra in the generator's form: magnitudes beside phases. The window is a periodic Hann window."""

    def __init__(self, size: int, hop: int) -> None:
        if size % hop:
            raise ValueError(f"a window of {size} is not a multiple of the hop {hop}")
        self._size, self._hop = size, hop
        self._bins = size // 2 + 1
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
        self._window = mx.array(window.astype(np.float32))
        # Both halves of the inverse transform and the window in one matrix.
        inverse = [np.fft.irfft(np.eye(self._bins) * unit, size) * window for unit in (1, 1j)]
        self._inverse = mx.array(np.concatenate(inverse).astype(np.float32))
        self._squared = mx.array((window**2).astype(np.float32))

    def analyse(self, samples: mx.array) -> mx.array:
        """(length,) → (length / hop + 1, 2 · bins)."""
        half = self._size // 2
        before, after = samples[1 : half + 1][::-1], samples[-half - 1 : -1][::-1]
        padded = mx.contiguous(mx.concatenate([before, samples, after]))
        frames = samples.shape[0] // self._hop + 1
        spectrum = mx.fft.rfft(mx.as_strided(padded, (frames, self._size), (self._hop, 1)) * self._window)
        return mx.concatenate([mx.abs(spectrum), mx.arctan2(mx.imag(spectrum), mx.real(spectrum))], axis=1)

    def synthesise(self, x: mx.array) -> mx.array:
        """The generator's last output, (frames, 2 · bins) → samples, ((frames - 1) · hop,)."""
        magnitude, phase = mx.exp(x[:, : self._bins]), mx.sin(x[:, self._bins :])
        spectrum = mx.concatenate([magnitude * mx.cos(phase), magnitude * mx.sin(phase)], axis=1)
        weights = mx.broadcast_to(self._squared, (x.shape[0], self._size))
        samples = self._overlapped(spectrum @ self._inverse) / mx.maximum(self._overlapped(weights), 1e-10)
        half = self._size // 2
        return samples[half:-half]

    def _overlapped(self, frames: mx.array) -> mx.array:
        parts = self._size // self._hop
        split = frames.reshape(frames.shape[0], parts, self._hop)
        summed = mx.zeros((frames.shape[0] + parts - 1, self._hop))
        for part in range(parts):
            summed = summed + mx.pad(split[:, part], [(part, parts - 1 - part), (0, 0)])
        return summed.reshape(-1)

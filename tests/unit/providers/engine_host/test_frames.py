"""Commands on their way to the engine process."""

from __future__ import annotations

from providers.chat.types import SamplingParams
from providers.engine_host.frames import HEADER_BYTES, Load, decode_command, encode
from providers.spec import ModelSpec


def test_a_spec_with_defaults_for_requests_arrives_unchanged() -> None:
    spec = ModelSpec(
        name="qwen",
        path="org/qwen",
        max_tokens=100,
        sampling=SamplingParams(temperature=0.5, seed=1 << 62),
        chat_template="{{ messages }}",
        chat_template_args={"enable_thinking": False, "nested": {"list": [1, None]}},
        prefill_step_size=512,
    )

    assert decode_command(encode(Load(spec))[HEADER_BYTES:]) == Load(spec)

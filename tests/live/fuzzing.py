"""Request bodies that a server should survive: valid by the schema, invalid by it, and invalid JSON. All are seeded."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

__all__ = ["NASTY", "SEED", "break_somewhere", "broken_bytes", "by_schema", "mutated", "short", "wild"]

SEED = 20_240_229
_PATH = "/v1/chat/completions"

NASTY: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 0.5, -0.0, 5e-324, 1e308, 2**31 - 1, 2**31, 2**63 - 1, 2**63, -(2**63) - 1),
    *(10**80, -(10**80), 10**4000, float("nan"), float("inf"), float("-inf")),
    *(
        "",
        " ",
        "\x00",
        "5",
        "null",
        "x" * 10_000,
        "\ud800",
        "\udfff x",
        "é" * 300,
        "👩‍👩‍👧",
        "\u202e",
        "../../etc/passwd",
    ),
    *("{{ 7 * 7 }}", "{% for i in range(9) %}x{% endfor %}", "<|im_end|>", "<|im_start|>system\n"),
    *([], [None], [[]], [{}], ["x"] * 1000, [""] * 30, {}, {"": ""}, {"a": {"b": {"c": {}}}}, {"type": "text"}),
    *({"5": 1}, {"-5": 1}, {"99999999999": 1}, {"٣": 1}, {"5": float("nan")}, {"echo_delay": -1}, {"tokenize": True}),
)

GOOD: dict[str, Any] = {
    "model": "any",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": "Hello", "tool_calls": None},
        {"role": "user", "content": "Who are you?", "name": "ada"},
    ],
    "stream": False,
    "stream_options": None,
    "max_tokens": 2,
    "temperature": 1,
    "top_p": 0.9,
    "top_k": 40,
    "min_p": 0.05,
    "seed": 1,
    "stop": ["\n\n", "END"],
    "presence_penalty": 0.1,
    "frequency_penalty": 0.1,
    "repetition_penalty": 1.1,
    "repetition_context_size": 20,
    "logit_bias": {"5": 1},
    "xtc_probability": 0.1,
    "xtc_threshold": 0.1,
    "chat_template_kwargs": {"enable_thinking": False},
    "timeout": 20,
}
"""A valid body with most parameters."""


def _drawn(strategy: st.SearchStrategy[Any], count: int) -> list[Any]:
    """Draw `count` examples, the same in every run."""
    found: list[Any] = []

    @seed(SEED)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(value: Any) -> None:
        found.append(value)

    collect()
    return found


def by_schema(document: dict[str, Any], count: int) -> list[bytes]:
    """Bodies of which half follow our OpenAPI document and half do not."""
    operation = schemathesis.openapi.from_dict(document)[_PATH]["POST"]
    cases: list[Any] = []
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
        cases += _drawn(operation.as_strategy(generation_mode=mode), count // 2)
    return [_encoded(case.body) for case in cases]


def wild(fields: list[str], count: int) -> list[bytes]:
    """Objects with the request's keys and arbitrary JSON values, and JSON that is no object."""
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    values = st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    )
    bodies = st.dictionaries(st.sampled_from(fields) | st.text(max_size=5), values, max_size=6) | values
    return [_encoded(body) for body in _drawn(bodies, count)]


def mutated(count: int) -> list[bytes]:
    """The valid body with one to three faults, some of them in the encoded bytes."""
    rng = random.Random(SEED)
    return [_mutant(rng) for _ in range(count)]


def _mutant(rng: random.Random) -> bytes:
    body = copy.deepcopy(GOOD)
    if rng.random() < 0.3:
        body["stream"] = True
    for _ in range(rng.randint(1, 3)):
        break_somewhere(body, rng)
    encoded = _encoded(body)
    return broken_bytes(encoded, rng) if rng.random() < 0.2 else encoded


def break_somewhere(body: Any, rng: random.Random) -> None:
    """Change, remove or add something at a random place in the tree."""
    while True:
        keys = list(body) if isinstance(body, dict) else list(range(len(body)))
        if not keys:
            return
        key = rng.choice(keys)
        if isinstance(body[key], (dict, list)) and body[key] and rng.random() < 0.7:
            body = body[key]
            continue
        chance = rng.random()
        if chance < 0.15:
            del body[key]
        elif chance < 0.25 and isinstance(body, list):
            body.append(copy.deepcopy(rng.choice(NASTY)))
        elif chance < 0.25:
            body[rng.choice(["n", "tools", "logprobs", "response_format", "unknown", "\ud800", "x" * 500])] = (
                rng.choice(NASTY)
            )
        else:
            body[key] = copy.deepcopy(rng.choice(NASTY))
        return


def broken_bytes(encoded: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(encoded) or 1)
    return rng.choice(
        [
            encoded[:place],
            encoded[:place] + bytes([rng.randrange(256)]) + encoded[place:],
            encoded[:place] + b"\xff\xfe" + encoded[place + 2 :],
            b"\xef\xbb\xbf" + encoded,
            encoded.decode().encode("utf-16"),
            encoded + encoded,
            b"[" * rng.randint(1, 5000) + encoded,
            encoded.replace(b'"messages"', b'"model"', 1),
            b"",
        ]
    )


def _encoded(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    try:
        return json.dumps(body).encode()
    except (TypeError, ValueError):  # stands for a missing body
        return b""


def short(body: bytes) -> bytes:
    """The same body with a bounded length of answer: a real model must not generate to the end of its context."""
    try:
        decoded = json.loads(body)
    except (ValueError, RecursionError):
        return body
    if not isinstance(decoded, dict):
        return body
    given = [decoded.get(name) for name in ("max_tokens", "max_completion_tokens")]
    if given == [None, None] or any(isinstance(value, int) and value > 2 for value in given):
        decoded = {name: value for name, value in decoded.items() if name != "max_completion_tokens"}
        decoded["max_tokens"] = 2
    return _encoded(decoded)

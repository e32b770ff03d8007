"""Requests for every operation of the OpenAPI document: drawn from it, against it, and mutated. All are seeded."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import attrs
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode

from tests.fuzz.valid import VALID
from tests.live import fuzzing

__all__ = ["Case", "Pool", "cases_of", "operations"]

HEADERS: tuple[tuple[str, str], ...] = (
    *(("accept", value) for value in ("text/html", "application/xml", "*/*;q=0", "", "x" * 5000)),
    *(
        ("content-type", value)
        for value in ("", "text/plain", "application/json; charset=utf-16", "multipart/form-data")
    ),
    *(
        ("content-type", value)
        for value in ("application/x-www-form-urlencoded", 'multipart/form-data; boundary="', "\xff")
    ),
    *(("content-encoding", value) for value in ("gzip", "br", "identity, gzip", "\xff")),
    *(("transfer-encoding", value) for value in ("chunked, identity", "gzip")),
    *(("traceparent", value) for value in ("00-0-0-0", "00-" + "f" * 32 + "-" + "f" * 16 + "-01", "\xff" * 55)),
    *(("baggage", value) for value in ("a=" + "b" * 9000, "=;,=", "\xff")),
    *(("authorization", value) for value in ("Bearer", "Basic :::", "Bearer \xff", "Bearer " + "x" * 9000)),
    *(("x-request-id", value) for value in ("", "x" * 5000, "\xff\x80", "{}", "a\tb")),
    *(("x-request-timeout", value) for value in ("0", "-1", "nan", "1e400", "x")),
    *(
        ("x-stainless-read-timeout", "nan"),
        ("host", ""),
        ("host", "a b"),
        ("cookie", "=;=;" * 500),
        ("range", "bytes=9-1"),
    ),
    *(("if-none-match", "*"), ("origin", "null"), ("x-forwarded-for", "\xff"), ("accept-language", "x;q=nan")),
    *(("last-event-id", "-1"), ("openai-beta", "\xff"), ("anthropic-version", "0"), ("expect", "100-continue")),
)
"""Headers that no client should send."""
JSON = {"content-type": "application/json"}
STRANGE_IDS = (
    "%00",
    "%2e%2e",
    "a%20b",
    "%ff",
    "%F0%9F%8E%89",
    "x" * 4000,
    "'",
    "%25",
    "-1",
    "null",
    ";",
    "%0d%0a",
)


@attrs.frozen
class Case:
    operation: str
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Pool:
    """Ids that the server gave, so that requests can name things that exist."""

    def __init__(self) -> None:
        self._ids: dict[str, list[str]] = {}

    def learn(self, content: bytes) -> None:
        try:
            answer = json.loads(content)
        except ValueError:
            return
        if isinstance(answer, dict) and isinstance(answer.get("id"), str):
            kind = str(answer.get("object"))
            known = self._ids.setdefault(kind, [])
            known.append(answer["id"])
            del known[:-20]

    def choose(self, name: str, rng: random.Random) -> str | None:
        """An id for a parameter or a field of this name, or None."""
        known = self._ids.get(KINDS.get(name, ""), [])
        return rng.choice(known) if known else None


KINDS = {
    "file_id": "file",
    "file_ids": "file",
    "vector_store_id": "vector_store",
    "vector_store_ids": "vector_store",
    "batch_id": "vector_store.files_batch",
    "response_id": "response",
    "previous_response_id": "response",
    "completion_id": "chat.completion",
}
"""The `object` of the answers whose id fits a parameter or a field."""


def operations(document: dict[str, Any]) -> dict[str, Any]:
    """schemathesis' operations, by `METHOD /path`."""
    schema = schemathesis.openapi.from_dict(document)
    found = [operation.ok() for operation in schema.get_all_operations()]
    return {f"{operation.method.upper()} {operation.path}": operation for operation in found}


def cases_of(name: str, operation: Any, count: int, pool: Pool, *, short: bool) -> Iterator[Case]:
    """`count` requests. Up to half of them are drawn by schemathesis, half of those against the document.

    The others have faults in what was drawn or, more often, in valid bodies, which get further.

    `short`: bound the answers, which a real model must not generate to the end of its context.
    """
    rng = random.Random(f"{fuzzing.SEED} {name}")
    drawn = []
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
        drawn += _drawn(operation, mode, max(1, min(count // 4, 150)))
    bases = [case for case in (_encoded(name, case) for case in drawn) if case is not None]
    valid = [Case(name, "POST", operation.path, JSON, json.dumps(body).encode()) for body in VALID.get(name, ())]
    fixed = [*valid, *bases]
    for number in range(count):
        chosen = valid if valid and rng.random() < 0.7 else bases
        case = fixed[number] if number < len(fixed) else _changed(rng.choice(chosen), rng)
        case = _with_ids(case, operation.path, pool, rng)
        if short:
            case = _shortened(case)
        yield _with_headers(case, rng) if rng.random() < 0.1 else case


def _drawn(operation: Any, mode: GenerationMode, count: int) -> list[Any]:
    """Draw examples, the same in every run. An operation without input has none against the document."""
    found: list[Any] = []

    @seed(fuzzing.SEED)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def collect(case: Any) -> None:
        found.append(case)

    try:
        collect()
    except Exception as error:
        if type(error).__name__ not in ("Unsatisfiable", "SkipTest", "Skipped"):
            raise
    return found


def _encoded(name: str, case: Any) -> Case | None:
    """The request as bytes; None if this case cannot be sent at all."""
    try:
        prepared = requests.Request(**case.as_transport_kwargs(base_url="http://server")).prepare()
    except (ValueError, TypeError, requests.RequestException):
        return None
    body = prepared.body or b""
    kept = {key.lower(): str(value) for key, value in prepared.headers.items() if key.lower() != "content-length"}
    return Case(name, str(prepared.method), prepared.path_url, kept, body.encode() if isinstance(body, str) else body)


def _changed(case: Case, rng: random.Random) -> Case:
    """The same request with one to three faults in its body, or with one in its target."""
    if not case.body:
        path, _, query = case.target.partition("?")
        query += "&" * bool(query) + rng.choice(
            [
                "limit=0",
                "limit=-1",
                "limit=1e9",
                "limit=",
                "limit=1&limit=2",
                "order=x",
                "after=%00",
                "before=%ff",
                "a=" * 500,
            ]
        )
        return attrs.evolve(case, target=f"{path}?{query}")
    try:
        body = json.loads(case.body)
    except (ValueError, RecursionError):
        return attrs.evolve(case, body=_torn(case.body, rng))
    if not isinstance(body, dict | list):
        return attrs.evolve(case, body=fuzzing.broken_bytes(case.body, rng))
    for _ in range(rng.randint(1, 3)):
        if body:
            fuzzing.break_somewhere(body, rng)
    encoded = json.dumps(body).encode()
    return attrs.evolve(case, body=fuzzing.broken_bytes(encoded, rng) if rng.random() < 0.1 else encoded)


def _torn(form: bytes, rng: random.Random) -> bytes:
    """A form with a part missing, twice, or spoiled."""
    start, end = sorted(rng.randrange(len(form) + 1) for _ in range(2))
    piece = form[start:end]
    return rng.choice(
        [
            form[:start] + form[end:],
            form + form,
            form[:end] + piece * 3 + form[end:],
            form[:start] + bytes([rng.randrange(256)]) + form[start:],
            form.replace(b"\r\n", b"\n"),
            form.replace(b"form-data", b"attachment", 1),
            form.replace(b"name=", b"name*=utf-8''%ff", 1),
            form[:end],
        ]
    )


def _with_ids(case: Case, template: str, pool: Pool, rng: random.Random) -> Case:
    """Put ids that exist, or strange ones, into the path and into the fields for them."""
    path, mark, query = case.target.partition("?")
    given_parts, parts = path.split("/"), template.split("/")
    if len(given_parts) == len(parts):
        for place, part in enumerate(parts):
            if part.startswith("{") and (chance := rng.random()) < 0.7:
                known = pool.choose(part[1:-1], rng)
                strange = rng.choice(STRANGE_IDS) if chance < 0.1 else None
                given_parts[place] = strange or (quote(known, safe="") if known else given_parts[place])
        path = "/".join(given_parts)
    case = attrs.evolve(case, target=path + mark + query)
    if b"_id" not in case.body or rng.random() < 0.3:
        return case
    try:
        body = json.loads(case.body)
    except (ValueError, RecursionError):
        return case
    _name_known(body, pool, rng)
    return attrs.evolve(case, body=json.dumps(body).encode())


def _name_known(value: Any, pool: Pool, rng: random.Random) -> None:
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        known = pool.choose(key, rng) if isinstance(key, str) else None
        if known is not None:
            value[key] = [known] if key.endswith("s") else known
        else:
            _name_known(inner, pool, rng)


BOUNDS = {
    "/v1/chat/completions": ("max_completion_tokens", "max_tokens"),
    "/v1/completions": ("max_tokens",),
    "/v1/messages": ("max_tokens",),
    "/v1/responses": ("max_output_tokens",),
}
"""The fields that bound an answer; the first counts."""


def _shortened(case: Case) -> Case:
    try:
        body = json.loads(case.body)
    except (ValueError, RecursionError):
        return case
    if not isinstance(body, dict):
        return case
    body = copy.deepcopy(body)
    for name in BOUNDS.get(case.target, ()):
        given = body.get(name)
        if given is None or (isinstance(given, int | float) and given > 2):
            body[name] = 2
    for name in ("input", "text"):
        if isinstance(body.get(name), str):
            body[name] = body[name][:60]
    return attrs.evolve(case, body=json.dumps(body).encode())


def _with_headers(case: Case, rng: random.Random) -> Case:
    return attrs.evolve(case, headers={**case.headers, **dict(rng.sample(HEADERS, rng.randint(1, 2)))})

"""Find unused code: `python -m tests.lint.unused_code`, part of `make lint`.

vulture, with what it cannot know: `__all__` and a façade's imports are no uses, a `module:name` string uses its name,
and other projects' code uses the names below. Code that only tests use counts as unused.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from vulture.core import Item, Vulture

ROOT = Path(__file__).parents[2]
ROOMS = ("contracts", "otel", "providers", "server")
HANDLERS = ("@get", "@post", "@delete", "@route", "@*.command", "@*.group")
"""Decorators that mark functions for Litestar and click to call."""

ELSEWHERE: dict[str, tuple[str, ...]] = {
    "attributes that other libraries read, or methods of theirs that ours replace": (
        # logging, the OpenTelemetry API, asyncio, contextlib
        *("enqueue", "exc_text", "hdlr", "stack_info"),
        *("_srcfile", "logMultiprocessing", "logProcesses", "logThreads"),
        *("escaped", "record_exception", "set_attribute", "set_status_on_exception"),
        *("connection_made", "connection_lost", "data_received", "aclose"),
        # tokenizers, mlx-audio, mlx-embeddings, mlx-lm, tqdm, PyAV
        *("__class__", "normalizer", "post_processor", "pre_tokenizer", "truncation_side"),
        *("add_pooling_layer", "forward_with_cross_qk", "prefill_batch_size", "prefill_step_size", "qkv_attention"),
        *("all_language_tokens", "no_speech", "non_speech_tokens", "sot_lm", "sot_prev"),
        *("sot_sequence_including_notimestamps", "split_to_word_tokens"),
        *("display", "monitor_interval", "pos", "pts"),
        # Litestar
        *("include_in_schema", "logging_config", "on_app_init", "openapi_config", "tags"),
        *("backend_cls", "create_dto_for_type", "create_for_field_definition", "create_openapi_schema"),
        *("data_to_encodable_type", "decode_bytes", "detect_nested_field", "generate_field_definitions"),
        *("is_plugin_supported_field", "max_properties", "property_names"),
        *("_get_default_plugins", "handler_id", "is_supported_model_type_field", "to_asgi_response"),
        "get_store_from_app",
        # mflux, greenlet
        *("call_after_loop", "call_before_loop", "call_in_loop", "gr_context"),
        # html.parser
        *("handle_data", "handle_endtag", "handle_startendtag", "handle_starttag"),
        # granian
        *("_init_shared_socket", "_drop_shared_socket", "_shd", "_ssp", "_sso", "is_uds"),
        *("interrupt_by_parent", "reload_signal", "signal_handler_reload", "workers_kill_timeout"),
    ),
    "fields that are written out with all others of their class": (
        *("rejected", "service_seconds_mean", "wait_seconds_mean"),
        *("first_token_p99", "inter_token_p99", "tokens_per_answer"),
    ),
    "found by a name put together from strings": ("AacEncoder", "FlacEncoder", "Mp3Encoder", "OpusEncoder"),
    "where embedded weights come from, for people": ("homepage",),
    "otel.testing, for tests": ("capture_metrics", "capture_spans"),
    "the duration model without the vocoder, which tests/live/engines/durations.py judges": ("durations",),
}


class _Finder(Vulture):
    def visit_Assign(self, node: ast.Assign) -> None:  # noqa: N802
        """Skip `__all__`: an export is no use."""

    def visit_Constant(self, node: ast.Constant) -> None:  # noqa: N802
        if isinstance(node.value, str) and (found := re.fullmatch(r"[\w.]+:(\w+)", node.value)):
            self.used_names.add(found[1])


def unused() -> Iterator[Item]:
    """All code that this project does not use, except fields of contracts (the wire) and imports (ruff's part)."""
    finder = _Finder(ignore_decorators=list(HANDLERS))
    finder.scavenge([str(ROOT / room) for room in ROOMS])
    for item in finder.get_unused_code(min_confidence=60):
        wire = item.typ == "variable" and item.filename.is_relative_to(ROOT / "contracts")
        if not wire and item.typ != "import":
            yield item


def main() -> None:
    found = [*unused()]
    expected = {name for names in ELSEWHERE.values() for name in names}
    problems = [
        f"{item.filename.relative_to(ROOT)}:{item.first_lineno}: unused {item.typ} {item.name!r}"
        for item in found
        if item.name not in expected
    ]
    sources = " ".join(path.read_text(encoding="utf-8") for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    problems += [
        f"{Path(__file__).relative_to(ROOT)}: no code has the name {name!r}: remove it from ELSEWHERE"
        for name in sorted(expected - set(re.findall(r"\w+", sources)))
    ]
    for problem in problems:
        print(problem)
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()

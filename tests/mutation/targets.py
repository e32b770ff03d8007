"""What is mutated, and which unit tests have to notice."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TARGETS", "Target"]


@dataclass(frozen=True, kw_only=True)
class Target:
    modules: tuple[str, ...]
    tests: tuple[str, ...]
    """Fast tests that cover the modules. mutmut runs for each mutant those of them that call the mutated function."""
    sample: str = "0123456789"
    """Last digits of the mutants' numbers: a sample of a target with very many mutants."""


_ENGINES = "tests/unit/providers/engines"

TARGETS = {
    "admission": Target(modules=("providers/admission.py",), tests=("tests/unit/providers/test_admission.py",)),
    "restart": Target(
        modules=("providers/engine_host/restart.py", "providers/engine_host/watchdog.py"),
        tests=(
            "tests/unit/providers/engine_host/test_restart.py",
            "tests/unit/providers/engine_host/test_watchdog.py",
        ),
    ),
    "host": Target(
        modules=("providers/engine_host/host.py", "providers/engine_host/process.py"),
        tests=tuple(
            f"tests/unit/providers/engine_host/test_{name}.py"
            for name in ("host_deaths", "host_ends", "host_loading", "host_requests", "process_end", "process_socket")
        ),
    ),
    "detokenizer": Target(
        modules=("providers/engines/output/detokenizer.py",),
        tests=(f"{_ENGINES}/output/test_detokenizer.py",),
    ),
    "sampling": Target(
        modules=("providers/engines/sampling/*.py",),
        # The others ask an engine in a process of its own, where mutmut sees no calls.
        tests=tuple(
            f"{_ENGINES}/sampling/test_{name}.py"
            for name in ("batched_step", "kernels", "logprob_recorder", "settings", "thought_budget")
        ),
        sample="0357",
    ),
    "prefix": Target(
        modules=("providers/engines/prefix/*.py",),
        tests=tuple(f"{_ENGINES}/prefix/test_{name}.py" for name in ("bounds", "cache", "files", "fingerprint")),
        sample="0357",
    ),
    "drain": Target(modules=("server/drain.py",), tests=("tests/unit/server/test_drain.py",)),
    "messages": Target(
        modules=("server/api/messages/request.py",),
        tests=tuple(f"tests/unit/server/api/messages/test_{name}.py" for name in ("pictures", "tools", "translation")),
    ),
    "chat": Target(
        modules=tuple(f"server/api/chat/{name}.py" for name in ("context", "functions", "request")),
        tests=tuple(f"tests/unit/server/api/chat/test_{name}.py" for name in ("grounded", "translation")),
    ),
    "responses": Target(
        modules=("server/api/responses/items.py", "server/api/responses/request.py", "server/api/responses/tools.py"),
        tests=tuple(
            f"tests/unit/server/api/responses/test_{name}.py"
            for name in ("items", "offered_images", "offered_tools", "translation")
        ),
    ),
}

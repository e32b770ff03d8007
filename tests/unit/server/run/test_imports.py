"""What the worker imports, and when: an import that the start does not need delays it, and takes memory for good."""

from __future__ import annotations

from tests.unit.server.cli.test_commands import modules_after

NEEDED_LATER = ("PIL", "av", "httpx", "huggingface_hub", "mflux", "mlx", "numpy", "pypdfium2", "transformers")
NEEDED_NEVER = ("pydantic", "rich")


def test_engines_start_before_the_framework_is_imported() -> None:
    modules = modules_after(
        "import server.run.granian, providers.registry, providers.residency\n"
        "from server.run.preload import _risks\n"
        "from server.settings.settings import Settings\n"
        "list(_risks(Settings.load({}, {})))"
    )

    assert modules.isdisjoint(("litestar", "cattrs", *NEEDED_LATER, *NEEDED_NEVER))


def test_the_application_imports_nothing_that_only_some_requests_need() -> None:
    modules = modules_after(
        "from server.app import create_app\n"
        "from server.settings.settings import Settings\n"
        "create_app(Settings.load({'model_type': 'lm'}, {}))"
    )

    assert "litestar" in modules
    assert modules.isdisjoint((*NEEDED_LATER, *NEEDED_NEVER))


def test_an_engine_imports_no_library_for_terminals() -> None:
    assert modules_after("import providers.engines.__main__").isdisjoint(NEEDED_NEVER)


def test_rich_stays_where_it_was_imported_before_the_log() -> None:
    modules = modules_after("import rich.console\nimport otel\nimport rich\nassert rich.console")

    assert {"rich", "structlog"} <= modules
    assert "rich.traceback" not in modules

"""The table of options as files for people: `.env.example` and `docs/configuration.md`.

`python -m server.settings.docs` writes both at the root of the repository; a test holds them to the table.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

from server.settings.options import GROUPS, OPTIONS, Option

__all__ = ["configuration_page", "env_example"]

_INTRODUCTION = """\
# Configuration

Every option of `mlx-openai-server launch` can be given on the command line, in the environment or in a YAML file
(`--config FILE`); the command line wins over the environment, which wins over the file. An empty variable counts
as unset. A value that cannot be used is an error that names the option and where it was set, before anything loads.

`granian --interface asgi --factory server.app:create_app` starts the same service from the environment alone;
there granian's own options say where it listens, and SIGTERM waits for open streams without a grace period (bound it
with `--workers-kill-timeout`). Telemetry is configured by the standard `OTEL_*` variables.

Several models are a list in the file; each entry overrides the keys above it:

```yaml
queue_size: 50
models:
  - model_path: mlx-community/Qwen3-4B-Instruct-2507-4bit
    served_model_name: qwen
    max_concurrency: 4
  - model_type: echo
```

Sizes take units: `8GB` is 8,000,000,000 bytes, `8GiB` is 8,589,934,592.
"""

_TELEMETRY = (
    (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "Collector that traces are sent to over HTTP; unset: none.",
        "http://127.0.0.1:4318",
    ),
    ("OTEL_SERVICE_NAME", "Name of this service in traces.", "mlx-openai-server"),
)


def env_example() -> str:
    """Every environment variable, commented out, with what it does and an example or its default."""
    blocks = ["# Every setting of mlx-openai-server. Copy what you need; the command line wins over these."]
    for group in GROUPS:
        blocks.append(f"# {group}\n# {'-' * len(group)}")
        blocks += [_variable(option.env, option.full_help, _example(option)) for option in _of(group)]
    blocks.append("# Telemetry (standard OpenTelemetry variables)\n# -------------------------------------------")
    blocks += [_variable(*variable) for variable in _TELEMETRY]
    return "\n\n".join(blocks) + "\n"


def configuration_page() -> str:
    """`docs/configuration.md`: the options by group."""
    parts = [_INTRODUCTION]
    for group in GROUPS:
        rows = ["| option | environment | what it does |", "|---|---|---|"]
        for option in _of(group):
            flags = option.flags.replace("/", "`, `")
            rows.append(f"| `{flags}` | `{option.env}` | {option.full_help.replace('|', chr(92) + '|')} |")
        parts.append(f"## {group}\n\n" + "\n".join(rows) + "\n")
    parts.append("A YAML key is the option without its dashes in front and with underscores: `max_concurrency`.\n")
    return "\n".join(parts)


def _of(group: str) -> list[Option]:
    return [option for option in OPTIONS if option.group == group]


def _variable(name: str, help: str, example: str) -> str:
    lines = textwrap.wrap(help, 110, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
    return "\n".join([*lines, f"#{name}={example}"])


def _example(option: Option) -> str:
    if option.example or option.default is None:
        return option.example
    if option.boolean:
        return "true" if option.default else "false"
    return option.default_text if option.default_text else str(option.default)


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[2]
    (root / ".env.example").write_text(env_example(), encoding="utf-8")
    (root / "docs" / "configuration.md").write_text(configuration_page(), encoding="utf-8")

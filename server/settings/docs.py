"""Generator of `.env.example`, and in docs of `configuration.md`, `migrating.md` and `models.schema.json`.

`python -m server.settings.docs` writes the files into the repository; tests compare them with the tables of options
and aliases.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

from server.settings.migration.page import migrating_page
from server.settings.options import GROUPS, OPTIONS, Option
from server.settings.schema import schema_text

__all__ = ["configuration_page", "env_example"]

_INTRODUCTION = """\
# Configuration

Every option of `mlx-openai-server launch` can be set on the command line, in the environment or in a YAML file
(`--config FILE`). The command line overrides the environment, and the environment overrides the file. An empty
environment variable counts as unset. An invalid value is an error before anything loads; the message names the option
and where it was set.

`granian --interface asgi --factory server.app:create_app` starts the same service, configured only by the environment.
Granian's own options then define the address, and SIGTERM waits for open streams without a grace period (limit the
wait with `--workers-kill-timeout`). The standard `OTEL_*` variables configure telemetry.

Sizes have units: `8GB` is 8,000,000,000 bytes, `8GiB` is 8,589,934,592 bytes. Every switch takes an optional value:
`--mlx-warmup`, `--no-mlx-warmup`, `--mlx-warmup true`, `--mlx-warmup=off`. The options of mlx-openai-server,
`mlx_lm.server` and others work under their own names: [migrating.md](migrating.md).

## Several models

List the models in the file, of any types. Each entry overrides the keys outside the list, and the command line and the
environment override both.

```yaml
# yaml-language-server: $schema=models.schema.json
port: 8000
memory_limit: 24GB # of all models together
queue_size: 50 # of each model
ttl: 30m

models:
  - name: qwen
    path: mlx-community/Qwen3-4B-Instruct-2507-4bit@main
    aliases: [gpt-4o, gpt-4o-mini]
    pin: true
    parameters:
      temperature: 0.7
      top_p: 0.8

  - name: coder
    path: mlx-community/Qwen3-Coder-30B-A3B-Instruct-4bit
    preload: false
    ttl: 10m
    max_memory: 20GB
    load_policy: refuse

  - name: voice
    type: tts
    preload: false

  - {name: ears, type: whisper, path: mlx-community/whisper-large-v3-turbo, preload: false}
  - {name: vectors, type: embeddings, preload: false, max_concurrency: 64}
```

- `name` (also `id` or `served_model_name`) and `aliases` are what clients send as `model`. No two models share one.
- `path` (also `model_path`) is a Hugging Face id, a local folder or a `.gguf` file. `org/name@revision` is a branch, a
  tag or a commit. Without a path, the embedded model of the `type` (also `model_type`) is served.
- `parameters` (also `sampling`) holds [parameters of sampling](#sampling), which may stand by themselves, too.
- `preload: false` loads the model for its first request. `ttl` unloads it again, `pin` keeps it, and `max_memory`
  limits it: [Loading](#loading). In an entry, `memory_limit` means `max_memory`.
- An entry with only a path may be that path: `- mlx-community/Qwen3-4B-4bit`. Models may also stand under their names,
  as in `models: {qwen: {path: …}}`.
- Keys at the top that begin with `x-` have no effect. They can hold anchors for the entries (`<<: *shared`).

A mistake ends the start with its line and key, and with the key that was probably meant:

```text
models.yaml:18: models[1].tll is not an option; did you mean 'ttl'?
```

Editors complete and check the file by its JSON schema, [models.schema.json](models.schema.json), which
`mlx-openai-server config schema` prints. VS Code (with the YAML extension), Helix and others read the first line of the
example.

SIGHUP makes a server without a terminal (a service of systemd or launchd, a container) read the file again, as
`systemctl reload` does with CONFIG_FILE, or `kill -HUP` of its main process. New models are served, removed ones end
with their requests, and changed ones are loaded again, under the same rule; a model with [replicas](replicas.md) goes
on answering meanwhile. Where only `aliases`, `preload`, `ttl`, `pin` or `load_policy` change, the model stays loaded. A
file with a mistake changes nothing; the log has its line.
Options of the whole server keep their values until the next start, except `memory_limit`; the log names those that
differ. The command line and the environment still override the file. With a terminal, SIGHUP ends the server.

Without a file, write `--model` for each model, as PATH, ID or NAME=PATH. All other options hold for each of them:

```bash
mlx-openai-server launch --model mlx-community/Qwen3-4B-4bit --model small=mlx-community/Qwen3-0.6B-4bit --ttl 30m
```
"""

_TELEMETRY = (
    (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "Collector that receives traces over HTTP. Default: none.",
        "http://127.0.0.1:4318",
    ),
    ("OTEL_SERVICE_NAME", "Name of this service in traces.", "mlx-openai-server"),
)


def env_example() -> str:
    """`.env.example`: every environment variable, commented out, with its help and an example or its default."""
    blocks = ["# Every setting of mlx-openai-server. Copy what you need; command-line options override these."]
    for group in GROUPS:
        blocks.append(f"# {group}\n# {'-' * len(group)}")
        blocks += [_variable(option.env, option.full_help, _example(option)) for option in _of(group)]
    blocks.append("# Telemetry (standard OpenTelemetry variables)\n# -------------------------------------------")
    blocks += [_variable(*variable) for variable in _TELEMETRY]
    return "\n\n".join(blocks) + "\n"


def configuration_page() -> str:
    """`docs/configuration.md`: the table of options by group."""
    parts = [_INTRODUCTION]
    for group in GROUPS:
        rows = ["| option | environment variable | effect |", "|---|---|---|"]
        for option in _of(group):
            flags = option.flags.replace("/", "`, `")
            rows.append(f"| `{flags}` | `{option.env}` | {option.full_help.replace('|', chr(92) + '|')} |")
        parts.append(f"## {group}\n\n" + "\n".join(rows) + "\n")
    parts.append(
        "A YAML key is the option's name without the leading dashes and with underscores: `--max-concurrency` becomes "
        "`max_concurrency`.\n"
    )
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
    (root / "docs" / "models.schema.json").write_text(schema_text(), encoding="utf-8")
    (root / "docs" / "migrating.md").write_text(migrating_page(), encoding="utf-8")

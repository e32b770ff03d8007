"""The page `docs/migrating.md`: the options of other servers and what each of them is here.

Rows whose option is one of ours or an alias get their text from the tables; the others have it in
`server.settings.migration.programs`.
"""

from __future__ import annotations

from collections.abc import Sequence

from server.settings.migration.aliases import ALIASES, Alias
from server.settings.migration.parser_names import REASONING_PARSERS, TOOL_CALL_PARSERS
from server.settings.migration.programs import PROGRAMS, Row
from server.settings.options import OPTIONS_BY_NAME

__all__ = ["migrating_page", "outcome"]

_INTRODUCTION = """\
# Coming from another server

`mlx-openai-server launch` knows the options of other servers for MLX by their names. "The same" below means: the option
has this name here too. An option that is accepted without effect is named with the reason in one line of the log at
start. An option that cannot be ignored without changing answers is refused before anything loads, with what replaces
it. Where an option is given both under our name and under another, ours counts.

Every switch takes an optional value: `--mlx-warmup`, `--no-mlx-warmup`, `--mlx-warmup true`, `--mlx-warmup=off`.
[configuration.md](configuration.md) has every option with its environment variable.
"""

_PARSERS = """\
## Names of parsers

Other servers' names for the formats of tool calls and of reasoning are taken as the names here. `auto` stands where
this server has no format of that name: it detects what the model uses. docs/tools.md describes the formats.
"""


def migrating_page() -> str:
    """`docs/migrating.md`: one table per program."""
    parts = [_INTRODUCTION]
    for program in PROGRAMS:
        rows = [(f"`{there}`" if _is_code(there) else there, text) for there, text in map(_row, program.rows)]
        parts.append(f"## {program.name}\n\n{program.text}\n{_table(program.name, rows)}")
        if program.keys:
            keys = [(f"`{key}`", outcome(key, "YAML key")) for key in program.keys]
            parts.append(f"{program.keys_text}\n\n{_table('key', keys)}")
    parts.append(_PARSERS)
    for flag, names in (("--tool-call-parser", TOOL_CALL_PARSERS), ("--reasoning-parser", REASONING_PARSERS)):
        parts.append(_table(flag, [(f"`{there}`", f"`{here}`") for there, here in names.items()]))
    return "\n".join(parts)


def outcome(name: str, kind: str = "option") -> str:
    """What becomes of an option of another server, from the table of options and that of aliases."""
    if name in OPTIONS_BY_NAME:
        return "the same"
    alias = ALIASES[name]
    if alias.refused:
        return f"refused: {alias.refused}"
    if not alias.to:
        return f"no effect: {alias.note}"
    here = f"--{alias.to.replace('_', '-')}" if kind == "option" else alias.to
    return _alias_outcome(alias, here, ": " if kind != "option" else " ")


def _alias_outcome(alias: Alias, here: str, between: str) -> str:
    if alias.translate is not None:
        return f"`{here}`; {alias.note}"
    if alias.values is None:
        return f"`{here}`" + (f", in {alias.unit}" if alias.unit else "")
    if alias.switch and not alias.values["false"]:
        value = alias.values["true"]
        return f"`{here}{'' if value == 'true' else between + value}`"
    set_here = [f"`{here}{between}{value}` for `{given}`" for given, value in alias.values.items() if value]
    return ", ".join(set_here) + (f"; no effect otherwise: {alias.note}" if alias.note else "")


def _row(row: Row) -> tuple[str, str]:
    there, remark = (row, "") if isinstance(row, str) else row
    name = there.removeprefix("--").replace("-", "_")
    if not there.startswith("--") or (name not in OPTIONS_BY_NAME and name not in ALIASES):
        return there, remark
    return there, "; ".join(filter(None, (outcome(name), remark)))


def _is_code(there: str) -> bool:
    return there.startswith(("--", "lms", "ollama")) or there.isupper() or "_" in there.partition(" ")[0]


def _table(title: str, rows: Sequence[tuple[str, str]]) -> str:
    lines = [f"| {title} | here |", "|---|---|"]
    lines += [f"| {there} | {here} |" for there, here in rows]
    return "\n".join(lines) + "\n"

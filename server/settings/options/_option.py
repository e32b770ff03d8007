"""One row of the table of options."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from server.settings.parser import Parser

__all__ = ["Option", "Scope", "model_option", "server_option"]

Scope = Literal["server", "model"]


@attrs.frozen(kw_only=True)
class Option:
    """One setting. `default` is a value that `parse` could return; `default_text` is its description in the help."""

    name: str
    env: str
    help: str
    group: str
    scope: Scope
    parse: Parser[Any]
    default: Any = None
    default_text: str = ""
    metavar: str = "TEXT"
    boolean: bool = False
    bare: str | None = None
    """What the flag means without a value; None: it needs one."""
    example: str = ""
    """A value for `.env.example`, for options whose default is not one."""

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def flags(self) -> str:
        """The declaration for click: a boolean has a positive and a negative form."""
        dashed = self.name.replace("_", "-")
        return f"--{dashed}/--no-{dashed}" if self.boolean else f"--{dashed}"

    @property
    def full_help(self) -> str:
        tail = f" Default: {self.default_text}." if self.default_text else ""
        return f"{self.help}{tail}"


def model_option(name: str, env: str, help: str, parse: Parser[Any], **rest: Any) -> Option:
    """An option that each model of a `models` list may set."""
    return Option(name=name, env=env, help=help, parse=parse, group=rest.pop("group", "Model"), scope="model", **rest)


def server_option(name: str, env: str, help: str, parse: Parser[Any], **rest: Any) -> Option:
    """An option of the whole server."""
    return Option(name=name, env=env, help=help, parse=parse, group=rest.pop("group", "Server"), scope="server", **rest)

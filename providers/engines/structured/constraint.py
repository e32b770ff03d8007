"""Constraints on the answers of one request: decided in `decision`, compiled by `GrammarCompiler`."""

from __future__ import annotations

import attrs

from providers.chat.types import Grammar, Tool, ToolChoice

__all__ = ["Calls", "Constraint", "Thought", "ToolMarkup"]


@attrs.frozen(kw_only=True)
class Thought:
    """Reasoning before a constrained answer, which the constraint leaves free.

    `start` opens it where the model decides to think; `is_open` means that the prompt has opened it already. The
    constraint starts after `end` and up to two line breaks, which the output parser drops from the answer.
    """

    start: str = "<think>"
    end: str = "</think>"
    is_open: bool = False


@attrs.frozen(kw_only=True)
class ToolMarkup:
    """How a model writes calls: `opening (begin {"name": …, "arguments": …} end) (separator …)* closing`."""

    begin: str
    end: str
    separator: str = "\n"
    opening: str = ""
    closing: str = ""
    name_key: str = "name"
    arguments_key: str = "arguments"


@attrs.frozen(kw_only=True)
class Calls:
    """The form of the calls in an answer."""

    markup: ToolMarkup
    tools: tuple[Tool, ...]
    """The functions that may be called, with arguments of their schemas. Empty: any text may follow
    `markup.begin`."""
    choice: ToolChoice
    """Under `required`, narrowed by `name`, the answer consists of calls. Under `auto`, calling is the model's choice,
    but a call that has begun is completed."""


@attrs.frozen(kw_only=True)
class Constraint:
    """The form that every answer of one request must have.

    With `answer` and `calls`, the model chooses between the two. With `calls` only, any text is allowed around calls
    that are not required.
    """

    param: str
    """Path of the request's field behind it, for errors, e.g. `response_format.json_schema.schema`."""
    answer: Grammar | None = None
    calls: Calls | None = None
    thought: Thought | None = None
    """Reasoning that comes before it; None: the constraint covers the whole text."""
    start_after: str | None = None
    """Marker after which the constraint starts, for formats that wrap every part of an answer; None: it starts
    immediately."""

"""Real schemas judged: `python -m tests.measurements.measure_schemas FOLDER --tokenizer tokenizer.json`.

FOLDER holds JSON files `SET---NAME.json` or `SET/NAME.json`. Each is a schema, or an object with `schema` and `tests`
(a list of `{"valid": …, "data": …}`), as in jsonschemabench's `maskbench/data`. The same number of each set is drawn
with a fixed seed. Every schema is compiled as the form of an answer and as a function's arguments, both not strict,
and as a strict form. Random tokens then walk through the first, and the `jsonschema` package validates every complete
answer against the schema without the keywords that were given up. Valid tests must be accepted, with the members of
objects in the order of the schema, and invalid ones refused.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import jsonschema
import numpy as np
from tokenizers import Tokenizer

from providers.chat.types import JsonSchemaGrammar, Tool, ToolChoice
from providers.engines.structured.compiler import CompiledGrammar, GrammarCompiler
from providers.engines.structured.constraint import Calls, Constraint, ToolMarkup
from providers.errors import ServiceError

SLOW = 2.0
"""Seconds of processor time of one compilation that are worth a line."""
MARKUP = ToolMarkup(begin="<tool_call>\n", end="\n</tool_call>")
CLOSING = ('"', "}", "]", '"}', '"]', ",", '",')


@attrs.frozen(kw_only=True)
class HuggingFace:
    backend_tokenizer: Tokenizer


@attrs.frozen(kw_only=True)
class Case:
    """A schema of the folder."""

    name: str
    schema: dict[str, Any] | bool
    tests: list[dict[str, Any]]


@attrs.define
class Report:
    """What was counted, and a line for each finding."""

    counts: Counter[str] = attrs.field(factory=Counter)
    slowest: float = 0.0

    def found(self, what: str, case: Case, detail: str = "") -> None:
        self.counts[what] += 1
        if detail:
            print(f"{what}: {case.name}: {detail[:300]}", flush=True)


def drawn(folder: Path, sets: Sequence[str], count: int, seed: int) -> list[Case]:
    """`count` schemas, spread evenly over the sets."""
    by_set: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*.json")):
        name, dashes, _ = path.name.partition("---")
        by_set.setdefault(name if dashes else path.parent.name, []).append(path)
    chosen = [by_set[name] for name in sets] if sets else list(by_set.values())
    shuffler = random.Random(seed)
    for paths in chosen:
        shuffler.shuffle(paths)
    picked: list[Path] = []
    for row in range(max(map(len, chosen))):
        picked += [paths[row] for paths in chosen if row < len(paths)]
    return [_read(path) for path in picked[: count or None]]


def _read(path: Path) -> Case:
    whole = json.loads(path.read_text())
    if isinstance(whole, dict) and isinstance(whole.get("tests"), list) and "schema" in whole:
        return Case(name=path.stem, schema=whole["schema"], tests=whole["tests"])
    return Case(name=path.stem, schema=whole, tests=[])


class Judge:
    """Compiles with one tokenizer, and judges."""

    def __init__(self, tokenizer: Tokenizer, end: int, report: Report, walks: int, tokens: int) -> None:
        self._tokenizer = tokenizer
        self._end = end
        self._size = tokenizer.get_vocab_size()
        self._compiler = GrammarCompiler(HuggingFace(backend_tokenizer=tokenizer), self._size, [end])
        self._report = report
        self._walks = walks
        self._tokens = tokens
        self._bias = np.zeros(self._size)
        for text in CLOSING:
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            if len(ids) == 1:
                self._bias[ids[0]] = 9.0
        self._bias[end] = 9.0

    def judge(self, case: Case) -> None:
        report = self._report
        answer = JsonSchemaGrammar(case.schema, strict=False)
        compiled = self._compiled("form", case, Constraint(param="schema", answer=answer))
        if isinstance(case.schema, dict):
            tool = Tool(name="fill", parameters=case.schema)
            calls = Calls(markup=MARKUP, tools=(tool,), choice=ToolChoice(mode="required"))
            called = self._compiled("tool", case, Constraint(param="tools", calls=calls))
            if called is not None and "tools[0].function.parameters" in called.given_up:
                report.found("tool with any arguments", case, f"type {case.schema.get('type')}")
        self._compiled("strict", case, Constraint(param="schema", answer=JsonSchemaGrammar(case.schema)))
        if compiled is None:
            return
        report.found("form held whole" if not compiled.given_up else "form held in part", case)
        for path in compiled.given_up:
            report.counts[f"given up: {path.rpartition('.')[2]}"] += 1
        self._walk(case, compiled)
        for test in case.tests:
            self._test(case, compiled, test)

    def _compiled(self, what: str, case: Case, constraint: Constraint) -> CompiledGrammar | None:
        report, began = self._report, time.thread_time()
        try:
            compiled = self._compiler.compile(constraint)
        except ServiceError as error:
            report.found(f"{what} refused", case, f"{error.param}: {error}")
            compiled = None
        else:
            report.found(f"{what} accepted", case)
        seconds = time.thread_time() - began
        report.slowest = max(report.slowest, seconds)
        if seconds > SLOW:
            report.found(f"{what} slow", case, f"{seconds:.1f} s")
        return compiled

    def _walk(self, case: Case, compiled: CompiledGrammar) -> None:
        held = without(case.schema, compiled.given_up)
        for seed in range(self._walks):
            text = self._answer(case, compiled, seed)
            if text is None:
                continue
            try:
                value = json.loads(text)
            except ValueError as error:
                self._report.found("answer not JSON", case, f"{error}: {text}")
                continue
            fault = invalid(value, held)
            if fault is None:
                self._report.found("answer not judged", case)
            elif fault:
                self._report.found("answer invalid", case, f"{fault}: {text}")
            else:
                self._report.found("answer valid", case)

    def _answer(self, case: Case, compiled: CompiledGrammar, seed: int) -> str | None:
        """The text of a random walk; None if it was not complete."""
        matcher = compiled._start.deep_copy()
        chance = np.random.default_rng(seed)
        ids: list[int] = []
        for step in range(self._tokens):
            mask = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
            allowed = np.flatnonzero(np.unpackbits(mask, bitorder="little")[: self._size])
            if matcher.is_error():
                self._report.found("walk failed", case, matcher.get_error())
                return None
            if not len(allowed):
                if matcher.is_accepting():
                    break
                self._report.found("walk without a way", case, self._tokenizer.decode(ids))
                return None
            weights = chance.gumbel(size=len(allowed)) + self._bias[allowed] * (1 + step / 100)
            token = int(allowed[np.argmax(weights)])
            if token == self._end:
                break
            ids.append(token)
            matcher.consume_token(token)
        else:
            self._report.found("answer cut off", case)
            return None
        return str(self._tokenizer.decode(ids, skip_special_tokens=False))

    def _test(self, case: Case, compiled: CompiledGrammar, test: dict[str, Any]) -> None:
        report = self._report
        writing = Writing(compiled._start, self._tokenizer, case.schema)
        accepted = writing.accepts(test["data"])
        if accepted is None:
            report.found("test not judged", case)
        elif test["valid"] and accepted:
            report.found("valid test accepted", case)
        elif test["valid"]:
            report.found("valid test refused", case, writing.furthest[-150:])
        elif accepted and not compiled.given_up:
            report.found("invalid test accepted", case, json.dumps(test["data"]))
        elif accepted:
            report.found("invalid test accepted, keywords given up", case)
        else:
            report.found("invalid test refused", case)


class Writing:
    """Writes a value as a grammar takes it, with the members of objects in an order of the schema's properties."""

    STEPS = 2_000
    ORDERS = 3

    def __init__(self, matcher: Any, tokenizer: Tokenizer, schema: Any) -> None:
        self._start = matcher
        self._tokenizer = tokenizer
        self._listed = [list(part["properties"]) for part in _parts(schema) if isinstance(part.get("properties"), dict)]
        self._steps = self.STEPS
        self.furthest = ""

    def accepts(self, value: Any) -> bool | None:
        """Whether the grammar takes it; None: `STEPS` were not enough to find out."""
        try:
            return any(matcher.is_accepting() for matcher, _ in self._value(self._start, "", value))
        except TimeoutError:
            return None

    def _value(self, matcher: Any, before: str, value: Any) -> Iterator[tuple[Any, str]]:
        """The states of the grammar after the value, with the text before them."""
        if isinstance(value, dict) and value:
            for order in self._orders(list(value)):
                yield from self._members(matcher, before, "{", [(name, value[name]) for name in order])
        elif isinstance(value, list) and value:
            yield from self._items(matcher, before, "[", value)
        else:
            yield from self._text(matcher, before, json.dumps(value, ensure_ascii=False))

    def _orders(self, names: list[str]) -> list[list[str]]:
        likely = sorted(self._listed, key=lambda listed: len(set(listed).symmetric_difference(names)))[: self.ORDERS]
        sorts = [sorted(names, key=lambda name: at.index(name) if name in at else len(at)) for at in likely]
        return [list(order) for order in dict.fromkeys(map(tuple, [*sorts, names]))]

    def _members(self, matcher: Any, before: str, mark: str, left: list[tuple[str, Any]]) -> Iterator[tuple[Any, str]]:
        if not left:
            yield from self._text(matcher, before, "}")
            return
        (name, value), *rest = left
        for after, text in self._text(matcher, before, f"{mark}{json.dumps(name, ensure_ascii=False)}: "):
            for done, whole in self._value(after, text, value):
                yield from self._members(done, whole, ", ", rest)

    def _items(self, matcher: Any, before: str, mark: str, left: list[Any]) -> Iterator[tuple[Any, str]]:
        if not left:
            yield from self._text(matcher, before, "]")
            return
        for after, text in self._text(matcher, before, mark):
            for done, whole in self._value(after, text, left[0]):
                yield from self._items(done, whole, ", ", left[1:])

    def _text(self, matcher: Any, before: str, text: str) -> Iterator[tuple[Any, str]]:
        self._steps -= 1
        if self._steps < 0:
            raise TimeoutError
        after = matcher.deep_copy()
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        if after.try_consume_tokens(ids) == len(ids):
            self.furthest = max(self.furthest, before + text, key=len)
            yield after, before + text


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _parts(child)


def without(schema: Any, given_up: Sequence[str]) -> Any:
    """The schema without these keywords; `oneOf` becomes `anyOf`."""
    held = json.loads(json.dumps(schema))
    if "schema" in given_up:
        return {key: value for key, value in held.items() if key == "type"}
    places = {place: (part, key) for place, part, key in _places(held, "schema")}
    for place in given_up:
        part, key = places[place]
        value = part.pop(key)
        if key == "oneOf" and "anyOf" not in part:
            part["anyOf"] = value
    return held


def _places(part: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    pairs: Any = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for key, value in pairs:
        inside = f"{place}.{key}" if isinstance(key, str) else f"{place}[{key}]"
        yield inside, part, key
        yield from _places(value, inside)


def invalid(value: Any, schema: Any) -> str | None:
    """Why the value is invalid; None: the judge cannot say."""
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        fault = jsonschema.exceptions.best_match(kind(schema).iter_errors(value))
    except Exception:
        return None
    return "" if fault is None else f"{fault.json_path} {fault.validator}: {fault.message}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True, help="a Hugging Face tokenizer.json")
    parser.add_argument("--end", default="<|im_end|>", help="the token that ends an answer (%(default)s)")
    parser.add_argument("--sets", nargs="*", default=(), help="names of sets (all)")
    parser.add_argument("--count", type=int, default=300, help="of schemas; 0: all (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the draw (%(default)s)")
    parser.add_argument("--walks", type=int, default=2, help="random answers per schema (%(default)s)")
    parser.add_argument("--tokens", type=int, default=400, help="of one answer, at most (%(default)s)")
    options = parser.parse_args()
    tokenizer = Tokenizer.from_file(str(options.tokenizer))
    report = Report()
    end = tokenizer.token_to_id(options.end)
    if end is None:
        parser.error(f"--end: {options.end!r} is not a token")
    judge = Judge(tokenizer, end, report, options.walks, options.tokens)
    cases = drawn(options.folder, options.sets, options.count, options.seed)
    for number, case in enumerate(cases, 1):
        judge.judge(case)
        if number % 20 == 0 or number == len(cases):
            print(f"{number} of {len(cases)} schemas", file=sys.stderr, flush=True)
    for what, count in sorted(report.counts.items()):
        print(f"{count:6} {what}")
    print(f"{report.slowest:6.2f} s of processor time: the slowest compilation")


if __name__ == "__main__":
    main()

"""Twenty thousand requests for a server process, from its own OpenAPI document: `make fuzz-api`.

Each operation of the document gets its share. No answer may be a 500 or an undocumented status over 500, none may hang,
every answer must match the document, the log must hold no traceback, and a valid request must be served afterwards.

    python -m tests.fuzz --cases 20000
    python -m tests.fuzz --cases 500 --embedded --only chat messages
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from tests.fuzz.cases import Case, Pool, cases_of, operations
from tests.live.client import ask, chat, eventually, queue_stats
from tests.live.harness import LiveServer, start

CONCURRENCY = 8
HANG, HANG_EMBEDDED = 60.0, 300.0
"""Seconds after which a request counts as hanging. The echo model answers in milliseconds on a quiet machine; the
embedded models share the processors with what else runs."""
REFUSALS = (501, 503, 504, 507)
"""Statuses from 500 that an operation may document: no such model, not ready or unwritable, too late, no space."""
UNROUTED = (400, 403, 404, 405, 413, 414, 415, 431)
"""Statuses that a broken path, method or header causes before any operation is found."""


class Fuzzing:
    def __init__(self, server: LiveServer, *, short: bool) -> None:
        self._server = server
        self._short = short
        self._own = threading.local()
        self._pool = Pool()
        self._document = ask(server.url, method="GET", path="/schema/openapi.json").json()
        self._operations = operations(self._document)
        self._validators: dict[tuple[str, int], Draft202012Validator | None] = {}
        self.statuses: dict[str, Counter[int | str]] = defaultdict(Counter)
        self.faults: dict[tuple[str, str], list[str]] = defaultdict(list)

    def run(self, cases: int, only: list[str]) -> None:
        chosen = {name: each for name, each in self._operations.items() if not only or any(o in name for o in only)}
        # A body has more to be wrong than a path.
        weights = {name: 4 if each.body else 1 for name, each in chosen.items()}
        # Operations that create things come first, those that delete them last.
        for name in sorted(chosen, key=lambda name: (name.startswith("DELETE"), not name.startswith("POST"), name)):
            started = time.monotonic()
            count = max(1, round(cases * weights[name] / sum(weights.values())))
            with ThreadPoolExecutor(CONCURRENCY) as pool:
                list(pool.map(self._check, cases_of(name, chosen[name], count, self._pool, short=self._short)))
            counted = ", ".join(f"{status}: {count}" for status, count in sorted(self.statuses[name].items(), key=str))
            print(f"{name:72} {count:5} in {time.monotonic() - started:4.0f} s   {counted}", flush=True)

    def _check(self, case: Case) -> None:
        try:
            status, content_type, content = self._send(case)
        except TimeoutError:
            self._fault(case, "hangs", "")
            return
        except (OSError, HTTPException, ValueError) as error:
            # http.client refuses to send some headers; the server closes on others.
            self.statuses[case.operation][type(error).__name__] += 1
            return
        self.statuses[case.operation][status] += 1
        if status == 200:
            self._pool.learn(content)
        documented = self._documented(case.operation)
        if status >= 500 and not (status in REFUSALS and status in documented):
            self._fault(case, f"status {status}", content)
        elif status not in documented and status not in UNROUTED:
            self._fault(case, f"undocumented status {status}", content)
        elif b'"internal_error"' in content:
            self._fault(case, "internal error in a stream", content)
        elif content_type.startswith("application/json"):
            self._check_answer(case, status, content)
        elif status >= 400 and (content or "transfer-encoding" not in case.headers):  # which granian refuses itself
            self._fault(case, f"refusal {status} as {content_type}", content)

    def _check_answer(self, case: Case, status: int, content: bytes) -> None:
        try:
            answer = json.loads(content)
        except ValueError:
            self._fault(case, f"JSON of {status} is broken", content)
            return
        validator = self._validator(case.operation, status)
        error = next(validator.iter_errors(answer), None) if validator else None
        if error is not None:
            self._fault(case, f"answer {status} is not as documented: {error.json_path}", error.message[:200])

    def _send(self, case: Case) -> tuple[int, str, bytes]:
        if getattr(self._own, "connection", None) is None:
            host, _, port = self._server.url.removeprefix("http://").rpartition(":")
            self._own.connection = HTTPConnection(host, int(port), timeout=HANG_EMBEDDED if self._short else HANG)
        connection: HTTPConnection = self._own.connection
        try:
            # Latin-1 keeps a header's bytes as they are.
            connection.request(case.method, case.target, case.body or None, case.headers)
            answer = connection.getresponse()
            return answer.status, answer.headers.get("content-type", ""), answer.read()
        except BaseException:
            connection.close()
            self._own.connection = None
            raise

    def _documented(self, name: str) -> set[int]:
        method, path = name.split(" ")
        return {int(status) for status in self._document["paths"][path][method.lower()]["responses"]}

    def _validator(self, name: str, status: int) -> Draft202012Validator | None:
        if (name, status) not in self._validators:
            method, path = name.split(" ")
            described = self._document["paths"][path][method.lower()]["responses"].get(str(status), {})
            schema = described.get("content", {}).get("application/json", {}).get("schema")
            with_components = {**schema, "components": self._document["components"]} if schema else None
            self._validators[name, status] = Draft202012Validator(with_components) if with_components else None
        return self._validators[name, status]

    def _fault(self, case: Case, what: str, content: Any) -> None:
        sent = f"{case.method} {case.target[:200]} {case.headers} {case.body[:1500]!r}"
        examples = self.faults[case.operation, what]
        examples.append(f"{sent}\n    -> {content[:600]!r}")
        if len(examples) == 1:
            print(f"FAULT {case.operation}: {what}\n  {examples[0][:1500]}", flush=True)

    def check_well(self) -> None:
        """The server serves a valid request, has none left, and its log holds no unforeseen error."""
        eventually(lambda: queue_stats(self._server.url)["active"] == 0)
        good = ask(self._server.url, chat("What is the capital of France?", temperature=0, max_tokens=9))
        if good.status_code != 200 or not good.json()["choices"][0]["message"]["content"]:
            self.faults["afterwards", "a valid request is not served"].append(good.text)
        log = self._server.log.text
        for match in re.finditer("Traceback|unforeseen|engine died", log):
            self.faults["log", match[0]].append(log[max(0, match.start() - 300) : match.end() + 3000])


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz-api")
    parser.add_argument("--cases", type=int, default=20_000, help="number of requests (default: 20000)")
    parser.add_argument("--embedded", action="store_true", help="ask the embedded models, not the echo model")
    parser.add_argument(
        "--only", nargs="*", default=[], metavar="TEXT", help="only operations whose path contains this"
    )
    parser.add_argument("--faults", type=Path, default=Path("build/fuzz-faults.txt"), help="file for all faults")
    chosen = parser.parse_args()
    server = start(*([] if chosen.embedded else ["--model-type", "echo"]))
    try:
        fuzzing = Fuzzing(server, short=chosen.embedded)
        fuzzing.run(chosen.cases, chosen.only)
        fuzzing.check_well()
    finally:
        code = server.stop()
    total = sum(sum(counts.values()) for counts in fuzzing.statuses.values())
    print(f"\n{total} requests to {len(fuzzing.statuses)} operations; the server ended with {code}")
    chosen.faults.parent.mkdir(parents=True, exist_ok=True)
    with chosen.faults.open("w") as file:
        for (operation, what), examples in sorted(fuzzing.faults.items()):
            print(f"FAULT {operation}: {what} ({len(examples)} times)")
            print(f"== {operation}: {what} ({len(examples)} times)", *examples[:5], sep="\n", file=file)
    return int(bool(fuzzing.faults) or code != 0)


if __name__ == "__main__":
    sys.exit(main())

"""Installs and runs the judges: suites of other people, and scripts of ours over other people's clients.

Packages come from the registries in the locked versions, into the cache folder. The repository holds none of their
code.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import venv
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import attrs
from filelock import FileLock

from providers.folders import cache_folder
from tests.live.said import NAMES, said
from tests.live.test_sdk_node import node_and_npm

HERE = Path(__file__).parent
SECONDS = 900.0
"""For one judge against a small model on a busy machine."""


@attrs.frozen
class Service:
    """A running server under judgement."""

    name: str
    url: str
    model: str
    embedder: str


@attrs.frozen
class Outcome:
    """One case of a judge. `passed` is None where the judge skipped it."""

    case: str
    passed: bool | None
    detail: str = ""


@attrs.frozen
class Judge:
    """A suite, the package that it judges by, and how to run it."""

    name: str
    package: str
    """Name in a lock, after its registry: `npm:openai`, `pypi:openai`."""
    run: Callable[[Service], list[Outcome]]

    @property
    def version(self) -> str:
        """The locked version of the package."""
        registry, name = self.package.split(":")
        if registry == "npm":
            lock = json.loads((HERE / "node" / "package-lock.json").read_text())
            return str(lock["packages"][f"node_modules/{name}"]["version"])
        found = re.search(
            rf"^{re.escape(name)}==(\S+)", (HERE / "python" / "requirements.txt").read_text(), re.MULTILINE
        )
        assert found is not None, f"{name} is in no lock"
        return found[1]


def _installed(kind: str, lock: Path, install: Callable[[Path], None]) -> Path:
    """A folder in the cache with this lock's packages; each lock is installed once."""
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    folder = cache_folder() / f"compat-{kind}" / digest
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "installed").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            install(folder)
            (folder / "installed").touch()
    return folder


def node_folder() -> Path:
    """The folder with npm's packages and our scripts."""

    def install(folder: Path) -> None:
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(HERE / "node" / name, folder)
        npm = [*node_and_npm()[1], "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        path = os.pathsep.join((str(Path(node_and_npm()[0]).parent), os.environ.get("PATH", "")))
        _checked(npm, cwd=folder, env={**os.environ, "PATH": path})

    folder = _installed("node", HERE / "node" / "package-lock.json", install)
    for script in (HERE / "node").glob("*.mjs"):
        shutil.copy(script, folder)
    return folder


def python_bin() -> Path:
    """The folder of commands of the judges' own environment."""

    def install(folder: Path) -> None:
        venv.create(folder / "env", with_pip=False)
        uv = str(Path(sys.executable).with_name("uv"))
        lock = str(HERE / "python" / "requirements.txt")
        python = str(folder / "env" / "bin" / "python")
        _checked([uv, "pip", "install", "--python", python, "--require-hashes", "-r", lock], cwd=folder)

    return _installed("python", HERE / "python" / "requirements.txt", install) / "env" / "bin"


def _checked(command: list[str], *, cwd: Path, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _run(command: list[str], cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1", "PYTHONPATH": "", "LANGSMITH_TRACING": "false", **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


def _cases(done: subprocess.CompletedProcess[str]) -> list[Outcome]:
    """What one of our scripts printed: a JSON line per case."""
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return [Outcome(line["case"], line["passed"], line["detail"]) for line in lines]


def _script(name: str, *arguments: str) -> Callable[[Service], list[Outcome]]:
    """One of our scripts in `node/`."""

    def run(service: Service) -> list[Outcome]:
        command = [node_and_npm()[0], f"{name}.mjs", service.url, service.model, service.embedder, *arguments]
        return _cases(_run(command, node_folder()))

    return run


def _two_turns(title: str, package: str) -> Judge:
    """A conversation of two turns with a forced tool, by the client in `package`."""
    registry, name = package.split(":")

    def python(service: Service) -> list[Outcome]:
        script = shutil.copy(HERE / "python" / "two_turns.py", python_bin().parent)
        return _cases(
            _run([str(python_bin() / "python"), script, service.url, service.model, name], python_bin().parent)
        )

    run = _script("two_turns", name) if registry == "npm" else python
    return Judge(f"two turns with a forced tool, {title}", package, run)


def _spoken_turns(service: Service) -> list[Outcome]:
    script = shutil.copy(HERE / "python" / "spoken_turns.py", python_bin().parent)
    command = [str(python_bin() / "python"), script, service.url, service.model, *_recordings(python_bin().parent)]
    return _cases(_run(command, python_bin().parent))


def _spoken_script(name: str) -> Callable[[Service], list[Outcome]]:
    """One of our scripts in `node/`, with the turns of a person."""
    return lambda service: _script(name, *_recordings(node_folder()))(service)


def _recordings(folder: Path) -> list[str]:
    return [str(said(folder, name)) for name in NAMES]


def _compatcanary(service: Service) -> list[Outcome]:
    folder = node_folder()
    cli = str(folder / "node_modules" / "compatcanary" / "src" / "cli.js")
    command = [node_and_npm()[0], cli, "scan", "--base-url", f"{service.url}/v1", "--model", service.model]
    command += ["--format", "json", "--fail-on", "never"]
    done = _run(command, folder)
    assert done.returncode == 0, done.stderr
    probes = json.loads(done.stdout)["results"]
    return [Outcome(probe["id"], probe["status"] == "pass", probe.get("summary", "")) for probe in probes]


def _provider_check(service: Service) -> list[Outcome]:
    folder = python_bin()
    command = [str(folder / "trustedrouter-provider-check"), "--base-url", f"{service.url}/v1"]
    command += ["--model", service.model, "--tier", "5", "--json", "-"]
    done = _run(command, folder)
    assert done.stdout, done.stderr
    checks = json.loads(done.stdout)["checks"]
    verdicts = {"pass": True, "skip": None}
    return [Outcome(check["id"], verdicts.get(check["status"], False), str(check["measured"])) for check in checks]


def _langchain(test_class: str) -> Callable[[Service], list[Outcome]]:
    def run(service: Service) -> list[Outcome]:
        python, report = python_bin() / "python", python_bin().parent / f"{service.name}-{test_class}.xml"
        # Outside the tree, where pytest finds no conftest of ours.
        tests = shutil.copy(HERE / "python" / "judge_langchain.py", python_bin().parent)
        scope = ("default_test_loop_scope", "default_fixture_loop_scope")  # the classes keep clients between tests
        command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull]
        command += ["-o", "asyncio_mode=auto", *(part for each in scope for part in ("-o", f"asyncio_{each}=session"))]
        command += ["--benchmark-disable", f"--junitxml={report}", f"{tests}::{test_class}"]
        command += ["--rootdir", str(python_bin().parent)]
        done = _run(command, python_bin().parent, COMPAT_URL=service.url, COMPAT_MODEL=service.model)
        assert done.returncode in (0, 1), done.stdout + done.stderr
        return [_junit(case) for case in ET.parse(report).iter("testcase")]

    return run


def _junit(case: ET.Element) -> Outcome:
    name = str(case.get("name"))
    failed = case.find("failure") if case.find("failure") is not None else case.find("error")
    if failed is not None:
        return Outcome(name, False, str(failed.get("message"))[:400])
    skipped = case.find("skipped")
    return Outcome(name, True) if skipped is None else Outcome(name, None, str(skipped.get("message")))


JUDGES = (
    Judge("compatcanary", "npm:compatcanary", _compatcanary),
    Judge("trustedrouter-provider-check, tiers 1 to 5", "pypi:trustedrouter-provider-check", _provider_check),
    Judge(
        "langchain-tests, ChatOpenAI over chat completions", "pypi:langchain-tests", _langchain("TestChatCompletions")
    ),
    Judge("langchain-tests, ChatOpenAI over responses", "pypi:langchain-tests", _langchain("TestResponses")),
    Judge("langchain-tests, ChatAnthropic over messages", "pypi:langchain-tests", _langchain("TestMessages")),
    Judge("AI SDK, four providers", "npm:ai", _script("ai_sdk")),
    Judge("OpenAI SDK for Node", "npm:openai", _script("openai_sdk")),
    Judge("Anthropic SDK for Node", "npm:@anthropic-ai/sdk", _script("anthropic_sdk")),
)
TWO_TURNS = (
    _two_turns("OpenAI SDK for Python", "pypi:openai"),
    _two_turns("OpenAI SDK for Node", "npm:openai"),
    _two_turns("Anthropic SDK for Python", "pypi:anthropic"),
    _two_turns("Anthropic SDK for Node", "npm:@anthropic-ai/sdk"),
    _two_turns("LangChain's ChatOpenAI", "pypi:langchain-openai"),
    _two_turns("LangChain's ChatAnthropic", "pypi:langchain-anthropic"),
    _two_turns("AI SDK, four providers", "npm:ai"),
)
"""Clients that a model of any size can answer."""
REALTIME = (
    Judge("spoken turns, OpenAI SDK for Python", "pypi:openai", _spoken_turns),
    Judge("spoken turns, OpenAI SDK for Node", "npm:openai", _spoken_script("spoken_turns")),
    Judge("spoken turns, agents SDK for Node", "npm:@openai/agents", _spoken_script("spoken_agents")),
)
"""Realtime clients. They need models that hear, answer and speak."""

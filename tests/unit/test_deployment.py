"""The files in `deploy/` name options, addresses, packages and versions that exist."""

from __future__ import annotations

import plistlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.app import create_app
from server.run.granian import _HURRY
from server.settings.options import OPTIONS, OPTIONS_BY_NAME
from server.settings.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNIT = (DEPLOY / "systemd" / "mlx-openai-server.service").read_text(encoding="utf-8")
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
FORMULA = (DEPLOY / "homebrew" / "mlx-openai-server.rb").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
PLIST: dict[str, Any] = plistlib.loads((DEPLOY / "launchd" / "mlx-openai-server.plist").read_bytes())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

OTHERS = {"HF_HOME", "HOME", "PATH", "PIP_DISABLE_PIP_VERSION_CHECK", "PIP_NO_CACHE_DIR", "PYTHONDONTWRITEBYTECODE"} | {
    "XDG_CACHE_HOME"
}
"""Environment variables that configure other programs."""
PORT = OPTIONS_BY_NAME["port"].default
STOP_SECONDS = OPTIONS_BY_NAME["grace_period"].default + _HURRY


def directives(name: str) -> list[str]:
    """Values of a directive of the unit."""
    return re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)


def instructions(name: str) -> list[str]:
    """Arguments of an instruction of the Dockerfile, continued lines joined."""
    return re.findall(rf"^{name} (.*)$", DOCKERFILE.replace("\\\n", " "), re.MULTILINE)


def environment() -> Iterator[str]:
    yield from (value.partition("=")[0] for value in directives("Environment"))
    yield from PLIST["EnvironmentVariables"]
    yield from (name for line in instructions("ENV") for name in re.findall(r"(\w+)=", line))
    yield from re.findall(r"environment_variables (\w+):", FORMULA)
    yield from re.findall(r"^(?:echo |Environment=)(\w+)=", PAGE, re.MULTILINE)
    yield from re.findall(r"--env (\w+)=", PAGE)


def test_every_variable_is_of_an_option() -> None:
    named = {*environment()}
    assert {"DATA_DIR", "LOG_FORMAT", "API_KEY_FILE", "MODEL_PATH"} <= named
    assert named - OTHERS <= {option.env for option in OPTIONS}


def test_every_value_of_a_variable_is_valid() -> None:
    pairs = [value.partition("=") for value in directives("Environment")]
    given = {name: value for name, _, value in pairs} | PLIST["EnvironmentVariables"]
    given |= dict(re.findall(r"(\w+)=(\S+)", " ".join(instructions("ENV"))))
    for option in OPTIONS:
        if option.env in given and not given[option.env].startswith(("%", "/")):
            option.parse(given[option.env])


def test_every_option_of_a_command_exists() -> None:
    flags = {option.flag for option in OPTIONS}
    commands = re.findall(r'mlx-openai-server"?,? "?launch(.*)$', FORMULA + UNIT + PAGE, re.MULTILINE)
    assert commands
    named = {flag for command in commands for flag in re.findall(r"--[a-z-]+", command)}
    prose = set(re.findall(r"`(--[a-z-]+)`", PAGE)) - {"--stop-timeout", "--tmpfs"}
    assert named | prose <= flags
    assert PLIST["ProgramArguments"][1:] == ["launch"]
    assert instructions("CMD") == ['["launch"]']


def test_ports_are_the_default_one() -> None:
    assert instructions("EXPOSE") == [str(PORT)]
    assert f"SERVER_PORT={PORT}" in DOCKERFILE
    assert set(re.findall(r"127\.0\.0\.1:(\d+)", DOCKERFILE + PAGE)) == {str(PORT)}
    assert f"port {PORT}." in PAGE


def test_health_paths_are_served() -> None:
    routes = {route.path for route in create_app(Settings.load({"model_type": "echo"})).routes}
    named = set(re.findall(r"(/v1/health/\w+|/health)\b", DOCKERFILE + FORMULA + PAGE + UNIT))
    assert "/v1/health/live" in named
    assert named <= routes
    (check,) = instructions("HEALTHCHECK")
    assert "/v1/health/live" in check


def test_versions_are_those_of_the_project() -> None:
    version = PROJECT["version"]
    assert f'image.version="{version}"' in DOCKERFILE
    assert f"mlx-openai-server-lab-{version}.tar.gz" in FORMULA
    supported = {name.rpartition(" ")[2] for name in PROJECT["classifiers"] if "Python :: 3." in name}
    assert re.findall(r"^FROM python:(3\.\d+)\.\d+-slim-\w+ AS", DOCKERFILE, re.MULTILINE)[0] in supported
    assert set(re.findall(r"python@(3\.\d+)", FORMULA)) <= supported
    for extra in re.findall(r"mlx-openai-server-lab\[([\w,]+)\]", PAGE):
        assert set(extra.split(",")) <= set(PROJECT["optional-dependencies"])


@pytest.mark.parametrize("seconds", [int(directives("TimeoutStopSec")[0]), PLIST["ExitTimeOut"]])
def test_a_service_manager_waits_for_the_grace_period(seconds: int) -> None:
    assert seconds > STOP_SECONDS
    assert "--stop-timeout 30" in PAGE


def test_the_image_has_what_it_copies_and_an_ordinary_user() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = {name for line in instructions("COPY") if "--from" not in line for name in line.split()[:-1]}
    assert copied == kept
    for name in kept:
        assert (ROOT / name).exists(), name
    packages = re.findall(r"COPY (\w+) \w+$", DOCKERFILE, re.MULTILINE)
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]
    assert packages == wheel["wheel"]["packages"]
    assert instructions("USER") == ["10001:10001"]
    assert instructions("STOPSIGNAL") == ["SIGTERM"]
    assert DOCKERFILE.count("--require-hashes") == FORMULA.count("--require-hashes") == 1


HARDENED = """
DynamicUser=yes NoNewPrivileges=yes ProtectSystem=strict CapabilityBoundingSet= Type=exec Restart=on-failure
KillMode=mixed OOMPolicy=continue
"""


def test_the_unit_is_hardened_and_restarts() -> None:
    assert set(HARDENED.split()) <= set(UNIT.splitlines())


def test_the_agent_restarts_after_a_failure_only() -> None:
    assert PLIST["KeepAlive"] == {"SuccessfulExit": False}
    assert PLIST["RunAtLoad"] is True
    assert PLIST["Umask"] == 0o077

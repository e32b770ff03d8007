"""Switches with and without values."""

from __future__ import annotations

import pytest
import rich_click as click
from click.testing import CliRunner

from server.cli._switches import SwitchesWithValues


@click.command(cls=SwitchesWithValues)
@click.option("--warm/--no-warm", default=None)
@click.option("--debug", is_flag=True, default=None)
@click.option("--name", default=None)
@click.option("--ranks", default=None, is_flag=False, flag_value="one")
@click.argument("rest", nargs=-1)
def command(**given: object) -> None:
    click.echo({name: value for name, value in given.items() if value not in (None, ())})


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--warm", {"warm": True}),
        ("--no-warm", {"warm": False}),
        *((f"--warm {word}", {"warm": True}) for word in ("true", "True", "1", "yes", "on")),
        *((f"--warm {word}", {"warm": False}) for word in ("false", "FALSE", "0", "no", "off")),
        ("--warm=true", {"warm": True}),
        ("--warm=off", {"warm": False}),
        ("--no-warm true", {"warm": False}),
        ("--no-warm=false", {"warm": True}),
        ("--debug true", {"debug": True}),
        ("--debug=no", {}),
        ("--warm --name x", {"warm": True, "name": "x"}),
        ("--warm false --name x", {"warm": False, "name": "x"}),
        ("--warm other", {"warm": True, "rest": ("other",)}),
        ("--name true", {"name": "true"}),
        ("--name --warm true", {"name": "--warm", "rest": ("true",)}),
        ("--name=--warm", {"name": "--warm"}),
        ("-- --warm true", {"rest": ("--warm", "true")}),
        ("--warm true true", {"warm": True, "rest": ("true",)}),
        ("--warm true --warm false", {"warm": False}),
        ("--ranks", {"ranks": "one"}),
        ("--ranks 2", {"ranks": "2"}),
        ("--ranks --warm true", {"ranks": "one", "warm": True}),
    ],
)
def test_a_switch_takes_a_value_only_if_it_is_one(line: str, expected: dict[str, object]) -> None:
    result = CliRunner().invoke(command, line.split())

    assert result.output.strip() == str(expected)


@pytest.mark.parametrize("line", ["--warm=perhaps", "--warm="])
def test_another_value_is_refused(line: str) -> None:
    result = CliRunner().invoke(command, [line])

    assert result.exit_code == 2
    assert "--warm must be true or false" in result.output

"""The JSDoc types of the modules of `/arena` and `/talk`, checked by TypeScript."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.live.test_sdk_node import node_and_npm, npm_packages

PACKAGES = Path(__file__).with_name("node")
MODULES = sorted((Path(__file__).parents[2] / "server" / "static").glob("*/*.js"))
STRICT = (
    *("--allowJs", "--checkJs", "--noEmit", "--strict", "--noUnusedLocals", "--noUnusedParameters"),
    *("--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler"),
    *("--lib", "es2023,dom,dom.iterable,dom.asynciterable"),
)


def test_the_modules_have_the_types_that_they_state() -> None:
    compiler = npm_packages(PACKAGES, "page-judges") / "node_modules" / "typescript" / "bin" / "tsc"
    command = [node_and_npm()[0], str(compiler), *STRICT, *map(str, MODULES)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)

    assert checked.returncode == 0, checked.stdout

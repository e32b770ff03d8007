"""The application has Litestar's own plugins, but for pydantic's."""

from __future__ import annotations

from litestar import Litestar
from litestar.plugins import PluginProtocol

from server.run.litestar_internals import Application


def kinds(plugins: list[PluginProtocol]) -> list[type[PluginProtocol]]:
    return [type(plugin) for plugin in plugins if "pydantic" not in type(plugin).__module__]


def test_only_the_plugins_of_pydantic_are_left_out() -> None:
    assert kinds(Application._get_default_plugins([])) == kinds(Litestar._get_default_plugins([]))

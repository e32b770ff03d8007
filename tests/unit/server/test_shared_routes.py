"""Applications that share routes share nothing else."""

from __future__ import annotations

import asyncio

from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import BODY, ask, make_app, serving


async def test_each_application_answers_from_its_own_state() -> None:
    one, other = make_app(FakeChat(full=True)), make_app(FakeChat(name="org/other"))
    assert one.routes is other.routes
    async with serving(one), serving(other):
        refused, answered = await asyncio.gather(ask(one, json=BODY), ask(other, json=BODY))
    assert (refused.status, answered.status) == (429, 200)
    assert answered.json["model"] == "org/other"
    assert one.state.service.registry.stopped
    assert other.state.service.registry.stopped


def test_other_settings_of_routes_have_other_routes() -> None:
    assert make_app().routes is not make_app(api_key="secret").routes

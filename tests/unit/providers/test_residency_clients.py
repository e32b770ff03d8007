"""A residency under clients that load, use, unload and leave together."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.unit.providers.house import GB, PATIENCE, House, Model


async def test_models_that_take_turns_are_all_answered():
    house = House()
    models = [house.model(name, 6) for name in "abc"]
    answers: list[str] = []

    async def request(model: Model) -> None:
        await house.residency.enter(model, PATIENCE)
        try:
            if not model.resident:
                await house.load(model)
            assert house.residency.used <= 10 * GB
            answers.append(model.spec.name)
            await asyncio.sleep(0)
        finally:
            house.residency.leave(model)

    async def client(model: Model) -> None:
        for _ in range(5):
            await request(model)

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(client(model) for model in models))
    assert sorted(answers) == sorted("abc" * 5)


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_clients_do_none_loses_its_model_and_the_budget_holds(seed: int):
    chance = random.Random(seed)
    house = House()
    residency = house.residency
    models = [house.model("pinned", 2, pin=True)]
    models += [house.model(f"m{index}", chance.choice([3, 4, 6])) for index in range(4)]
    loads: dict[Model, asyncio.Task[None]] = {}
    answered = 0

    async def load(model: Model) -> None:
        try:
            await house.load(model)
            assert residency.used <= house.budget
        finally:
            loads.pop(model, None)

    async def request(model: Model) -> None:
        nonlocal answered
        await residency.enter(model, PATIENCE)
        try:
            while not model.resident:
                task = loads.setdefault(model, None) or asyncio.create_task(load(model))
                loads[model] = task
                await asyncio.wait({task})
                task.result()
            for _ in range(chance.randrange(5)):
                await asyncio.sleep(0)
                assert model.resident, "it is in use"
            answered += 1
        finally:
            residency.leave(model)

    async def client() -> None:
        for _ in range(15):
            model = chance.choice(models)
            match chance.randrange(8):
                case 0:
                    await residency.unload(model)
                case 1:
                    impatient = asyncio.create_task(request(model))
                    await asyncio.sleep(0)
                    impatient.cancel()
                    await asyncio.wait({impatient})
                case 2:
                    await residency.check()
                case _:
                    await request(model)

    async with asyncio.timeout(PATIENCE * 4):
        await asyncio.gather(*(client() for _ in range(6)))
        await asyncio.gather(*loads.values())
    assert answered > 40
    assert residency.used <= house.budget
    assert [residency.state(model).uses for model in models] == [0] * 5

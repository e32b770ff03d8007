"""The loop of a rank other than 0: it does what rank 0 did, and reports nothing."""

from __future__ import annotations

import faulthandler
import gc
from collections.abc import Callable
from typing import NoReturn, assert_never

from providers.engine_host.frames import STACK_SIGNAL
from providers.engines.group import orders
from providers.engines.group.joining import Follower
from providers.engines.process.engine import Engine, Outbox, RunsInGroup, UsesIdleTime
from providers.spec import ModelSpec

__all__ = ["follow"]


def follow(ranks: Follower, make_engine: Callable[[ModelSpec], Engine]) -> NoReturn:
    """Load rank 0's model and take its orders until this process ends. `ranks`: this rank."""
    faulthandler.enable()
    faulthandler.register(STACK_SIGNAL)
    try:
        spec = ranks.next_load()
        engine = make_engine(spec)
        engine.load(spec, lambda stage, fraction: None)
        gc.freeze()
        while True:
            obey(engine, ranks.next_order())
    except BaseException as error:
        ranks.fail(error)
        raise


def obey(engine: Engine, order: orders.Order) -> None:
    """Do what rank 0 did next."""
    out = Outbox(lambda report: None)
    match order:
        case orders.Step():
            engine.step(out)
        case orders.Submit():
            assert isinstance(engine, RunsInGroup)
            engine.submit(engine.unpacked(order.job))
        case orders.Cancel():
            engine.cancel(order.id)
        case orders.Tidy():
            if isinstance(engine, UsesIdleTime):
                engine.use_idle_time()
        case orders.Value():
            raise RuntimeError("rank 0 decided something for which this rank does not wait")
        case _:
            assert_never(order)
    out.flush()

"""Which models are in memory together: a budget of bytes, pins, and the end of models that are idle."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Protocol

import attrs

import otel
from providers.errors import DoesNotFit, ModelNotReady, QueueTimeout
from providers.memory.estimate import estimate
from providers.protocols import ResidentState
from providers.spec import ModelSpec

__all__ = ["Residency", "Resident"]

CHECK_SECONDS = 1.0
"""Time between two looks at what models hold and how long they have been idle."""
_RETRY_SECONDS = 5.0

_log = otel.get_logger(__name__)


class Resident(Protocol):
    """A model that takes memory while it is loaded."""

    @property
    def spec(self) -> ModelSpec: ...

    @property
    def resident(self) -> bool:
        """Whether its engine runs or loads."""

    def footprint(self) -> int:
        """Bytes of memory that its engine has now; 0 without one. Called from a thread."""

    async def release(self) -> None:
        """End the engine. Returns when its memory is free."""


@attrs.define(eq=False)
class _Entry:
    reference: weakref.ref[Resident]
    name: str
    pinned: bool
    used: float
    """When a use last began or ended."""
    uses: int = 0
    charge: int = 0
    """Bytes that it has, or that are reserved for it."""
    known: int = 0
    """Bytes that it had after its last load: its files may say less, or nothing."""
    loading: bool = False
    leaving: bool = False
    """Its engine ends."""
    asked: int = 0
    """Clients that wait for its uses to end, to unload it."""

    @property
    def model(self) -> Resident:
        model = self.reference()
        assert model is not None, "the entries of models are forgotten with them"
        return model

    @property
    def idle(self) -> bool:
        return not (self.uses or self.loading or self.leaving) and self.model.resident


class Residency:
    """Admits models into memory. Use it from one event loop.

    A model in use is never unloaded. Where a model needs room, the least recently used of the idle ones that are not
    pinned leave first. Where idle ones do not suffice, the model waits, and new requests to the least recently used
    models that could make room wait behind it: otherwise models under steady load would keep it out for good.
    """

    def __init__(
        self,
        budget: int | None = None,
        *,
        estimate: Callable[[ModelSpec], int | None] = estimate,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`budget`: bytes that all models have together; None: no bound. `estimate` is called in a thread."""
        self.budget = budget
        self._estimate = estimate
        self._clock = clock
        # A provider has its residency: held weakly, it needs no collector to be forgotten.
        self._entries: weakref.WeakKeyDictionary[Resident, _Entry] = weakref.WeakKeyDictionary()
        self._waiting: dict[_Entry, int] = {}
        """Bytes that each model needs which waits for room, the longest wait first."""
        self._changed = asyncio.Event()
        self._in_order = asyncio.Lock()
        """Held by loads that may not evict, so that of models that do not fit together the first ones are loaded."""
        self._ends: set[asyncio.Task[None]] = set()

    def add(self, model: Resident) -> None:
        self._entries[model] = _Entry(
            reference=weakref.ref(model), name=model.spec.name, pinned=model.spec.pin, used=self._clock()
        )

    def state(self, model: Resident) -> ResidentState:
        entry = self._entries[model]
        idle = 0.0 if entry.uses else self._clock() - entry.used
        return ResidentState(pinned=entry.pinned, uses=entry.uses, memory=entry.charge, idle=idle)

    def pin(self, model: Resident, pinned: bool) -> None:
        """Keep a model in memory, or no longer."""
        self._entries[model].pinned = pinned
        self._notify()

    @property
    def used(self) -> int:
        """Bytes that all models have, or that are reserved for them."""
        return sum(entry.charge for entry in self._entries.values())

    # Uses

    async def enter(self, model: Resident, patience: float, *, brief: bool = False) -> None:
        """Begin a use, after the model's turn to make room for another. `leave` ends it.

        `brief`: a use that takes no time, which waits only while the engine ends.

        Raises:
            ModelNotReady: its turn took longer than `patience` seconds.
        """
        entry = self._entries[model]

        def waits() -> bool:
            return entry.leaving or (not brief and entry in self._held())

        if waits():
            try:
                async with asyncio.timeout(patience):
                    while waits():
                        await self._change()
            except TimeoutError:
                message = f"{entry.name} makes room for another model"
                raise ModelNotReady(message, retry_after=_RETRY_SECONDS) from None
        self.begin(model)

    def begin(self, model: Resident) -> None:
        """Begin a use now."""
        entry = self._entries[model]
        entry.uses += 1
        entry.used = self._clock()

    def leave(self, model: Resident) -> None:
        entry = self._entries.get(model)
        if entry is not None:
            entry.uses -= 1
            entry.used = self._clock()
            if not entry.uses:
                self._notify()

    # Loads

    async def admit(self, model: Resident, *, patience: float, evict: bool = True) -> None:
        """Reserve memory for a model that is to be loaded; `loaded` or `gone` follows.

        `evict` False: no other model makes room.

        Raises:
            DoesNotFit: it never fits; with `evict` False, it does not fit beside the others.
            QueueTimeout: models in use made no room within `patience` seconds.
        """
        entry = self._entries[model]
        entry.loading, need = True, 0
        if not entry.leaving:
            entry.charge = 0
        self._waiting[entry] = need
        try:
            async with contextlib.nullcontext() if evict else self._in_order:
                if self.budget is not None:
                    estimated = await asyncio.to_thread(self._estimate, model.spec)
                    # What it had may exceed the limit by what an estimate omits; it is loaded all the same, by itself.
                    need = entry.known if estimated is None else max(estimated, min(entry.known, self.budget))
                    self._waiting[entry] = need
                async with asyncio.timeout(patience):
                    await self._make_room(entry, need, evict)
                entry.charge, entry.loading = need, True
        except BaseException as error:
            entry.loading = False
            if not isinstance(error, TimeoutError):
                raise
            message = f"{entry.name} needs {_size(need)}, and the models that could make room are in use"
            raise QueueTimeout(message, retry_after=_RETRY_SECONDS) from None
        finally:
            self._waiting.pop(entry, None)
            self._notify()

    async def has_room(self, model: Resident, spec: ModelSpec, budget: int | None) -> bool:
        """Whether a loaded model would fit with this spec in its place, in a budget that may be a new one."""
        if budget is None:
            return True
        estimated = await asyncio.to_thread(self._estimate, spec)
        return estimated is not None and self.used - self._entries[model].charge + estimated <= budget

    async def loaded(self, model: Resident) -> None:
        """Take note of what an admitted model has, now that it can answer.

        Raises:
            DoesNotFit: its need was unknown before, and it does not fit. It was unloaded.
        """
        entry = self._entries[model]
        unknown = not entry.charge
        entry.loading = False
        entry.used = self._clock()
        await self._measure([entry])
        entry.known = entry.charge
        try:
            if self.budget is not None and unknown:
                self._check_fits(entry, entry.charge)
        except DoesNotFit:
            await self._release(entry, "it does not fit")
            raise
        self._notify()

    def gone(self, model: Resident) -> None:
        """Free what an admitted model had, after its load failed."""
        entry = self._entries.get(model)
        if entry is not None and not entry.leaving:
            entry.charge, entry.loading = 0, False
            self._notify()

    async def unload(self, model: Resident) -> None:
        """Unload a model when what uses it has ended; requests that arrive meanwhile load it again.

        A model that nothing uses while it loads is unloaded too. Cancelling the call takes the wish back.
        """
        entry = self._entries[model]
        entry.asked += 1
        try:
            while entry.uses or entry.leaving:
                await self._change()
            if model.resident or entry.loading:
                await self._release(entry, "a client asked for it")
        finally:
            entry.asked -= 1
            self._notify()

    async def watch(self) -> None:
        """Look at all models from time to time, until cancelled."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                await self.check()
            except Exception:
                _log.exception("models in memory could not be looked at")

    async def check(self) -> None:
        """Unload models that were idle for their `ttl`, and idle ones while all have more than the budget."""
        now = self._clock()
        for entry in tuple(self._entries.values()):
            ttl = entry.model.spec.ttl
            if ttl is not None and entry.idle and not entry.pinned and now - entry.used >= ttl:
                await self._release(entry, f"it was idle for {ttl:g} s")
        if self.budget is None:
            return
        await self._measure([entry for entry in self._entries.values() if entry.charge and not entry.loading])
        while self.used > self.budget and (idle := self._idle()):
            await self._release(idle[0], "the models have more memory than they may")

    async def _make_room(self, entry: _Entry, need: int, evict: bool) -> None:
        while True:
            if not entry.leaving:
                self._check_fits(entry, need)
                if self.budget is None or self.used + need <= self.budget:
                    return
                if not evict:
                    raise self._does_not_fit(entry, need, [each for each in self._entries.values() if each.charge])
                if (victim := self._victim(need)) is not None:
                    await self._release(victim, f"{entry.name} needs its memory")
                    continue
            await self._change()

    def _victim(self, need: int) -> _Entry | None:
        """The model to unload next; None while one that leaves will suffice, or the idle ones do not."""
        if (short := self._short(need)) <= 0:
            return None
        idle = self._idle()
        return idle[0] if sum(each.charge for each in idle) >= short else None

    def _short(self, need: int) -> int:
        """Bytes that are missing for a model that waits, once those that leave have left."""
        assert self.budget is not None
        return self.used - sum(each.charge for each in self._entries.values() if each.leaving) + need - self.budget

    def _idle(self) -> list[_Entry]:
        """Models that may be unloaded now, the least recently used first."""
        idle = [each for each in self._entries.values() if each.idle and each.charge and not each.pinned]
        return sorted(idle, key=lambda each: each.used)

    def _in_use(self) -> list[_Entry]:
        """Models that may be unloaded once their uses have ended."""
        return [
            each
            for each in self._entries.values()
            if each.uses and each.charge and not (each.pinned or each.leaving or each.loading)
        ]

    def _held(self) -> set[_Entry]:
        """Models whose new requests wait: those that leave, and those that have to make room."""
        held = {each for each in self._entries.values() if each.leaving or each.asked}
        for need in self._waiting.values():
            if self.budget is None or self.used + need <= self.budget:
                continue
            short = self._short(need) - sum(each.charge for each in self._idle())
            for each in sorted(self._in_use(), key=lambda each: each.used):
                if short <= 0:
                    break
                held.add(each)
                short -= each.charge
        return held

    def _check_fits(self, entry: _Entry, need: int) -> None:
        pinned = [each for each in self._entries.values() if each is not entry and each.pinned and each.charge]
        if self.budget is not None and need > self.budget - sum(each.charge for each in pinned):
            raise self._does_not_fit(entry, need, pinned)

    def _does_not_fit(self, entry: _Entry, need: int, holders: Sequence[_Entry]) -> DoesNotFit:
        assert self.budget is not None
        message = f"{entry.name} needs {_size(need)} of memory; the limit of all models is {_size(self.budget)}"
        if holders:
            what = "pinned models" if all(each.pinned for each in holders) else "others"
            held = sum(each.charge for each in holders)
            message += f", of which {what} have {_size(held)} ({', '.join(each.name for each in holders)})"
        return DoesNotFit(message, param="model")

    async def _measure(self, entries: Sequence[_Entry]) -> None:
        if entries:
            sizes = await asyncio.to_thread(lambda: [each.model.footprint() for each in entries])
            for entry, size in zip(entries, sizes, strict=True):
                if size and entry.model.resident and not (entry.leaving or entry.loading):
                    entry.charge = size

    async def _release(self, entry: _Entry, reason: str) -> None:
        """Unload a model, also when the caller is cancelled meanwhile."""
        entry.leaving = True
        task = asyncio.create_task(self._end(entry, reason), name=f"unload {entry.name}")
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)
        await asyncio.shield(task)

    async def _end(self, entry: _Entry, reason: str) -> None:
        _log.info("model is unloaded", model=entry.name, reason=reason, memory=entry.charge)
        try:
            with otel.start_model_unload(model=entry.name, reason=reason):
                await entry.model.release()
        finally:
            entry.leaving, entry.charge = False, 0
            entry.loading = entry in self._waiting
            self._notify()

    async def _change(self) -> None:
        await self._changed.wait()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _size(bytes: int) -> str:
    return f"{bytes / 1e9:.2f} GB"

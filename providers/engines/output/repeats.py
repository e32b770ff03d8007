"""The stage of the output parser that drops a call which repeats an earlier one of the same answer."""

from __future__ import annotations

from collections.abc import Sequence

from providers.engines.output.call_detection import CallArguments, CallPart, CallStart

__all__ = ["RepeatFilter"]


class RepeatFilter:
    """Holds a call back while its name and arguments are the beginning of an earlier call.

    Small models that must call repeat one call until their tokens run out.
    """

    __slots__ = ("_earlier", "_held", "_length", "_name", "_same", "_text", "repeated")

    def __init__(self) -> None:
        self._earlier: dict[str, list[str]] = {}
        """The arguments of the whole calls, by name."""
        self._name: str | None = None
        """Of the call that has begun."""
        self._text: list[str] = []
        self._length = 0
        self._held: list[CallPart] = []
        self._same: list[str] = []
        """Arguments of earlier calls that may be those of this one; empty once it differs from all."""
        self.repeated = False
        """A call was the repeat of an earlier one; nothing passes after it."""

    def passed(self, parts: Sequence[CallPart]) -> list[CallPart]:
        """The parts that may leave now."""
        left: list[CallPart] = []
        for part in parts:
            if isinstance(part, CallStart):
                left += self.end_call()
                self._begin(part.name)
            else:
                self._compare(part)
            if self.repeated:
                break
            if self._same:
                self._held.append(part)
            else:
                left += [*self._held, part]
                self._held.clear()
        return left

    def end_call(self, *, whole: bool = True, cut: bool = False) -> list[CallPart]:
        """The call that has begun ends here. Returns what was held back of it, if it is no repeat; `cut`: the answer
        was cut inside it, so that it may have become one."""
        held, self._held = self._held, []
        name, self._name = self._name, None
        if name is None or not whole:
            self._same.clear()
            return [] if cut else held
        if any(len(text) == self._length for text in self._same):
            self.repeated = True
            return []
        self._earlier.setdefault(name, []).append("".join(self._text))
        self._same.clear()
        return held

    def _begin(self, name: str) -> None:
        self._name, self._length = name, 0
        self._text.clear()
        self._same = list(self._earlier.get(name, ()))

    def _compare(self, part: CallArguments) -> None:
        self._text.append(part.text)
        self._same = [text for text in self._same if text.startswith(part.text, self._length)]
        self._length += len(part.text)

"""The open requests and questions of one engine: where its events and answers go."""

from __future__ import annotations

import asyncio
from typing import Any

from providers.engine_host.event_stream import Mailbox
from providers.engine_host.frames import Answer, Events, Failed
from providers.errors import QueueTimeout, ServiceError

__all__ = ["Exchanges"]

_QUESTION_SECONDS = 60.0
"""The longest wait for the answer to a question, which takes milliseconds where the intake is not busy."""
_RETRY_SECONDS = 2.0


class Exchanges:
    """Mailboxes and questions by their keys."""

    def __init__(self, name: str) -> None:
        """`name`: the model's, for messages."""
        self._name = name
        self._keys = 0
        self.mailboxes: dict[str, Mailbox[Any]] = {}
        self.questions: dict[str, asyncio.Future[Answer]] = {}

    def request_key(self, request_id: str) -> str:
        """A key that no other request had.

        Clients choose request ids and may choose one twice: an event on its way to a cancelled request must not reach
        the next request of that id.
        """
        self._keys += 1
        return f"{request_id}#{self._keys}"

    def question_key(self) -> str:
        self._keys += 1
        return f"?{self._keys}"

    async def answered(self, key: str, patience: float) -> Answer:
        """Wait for the answer to the question that was sent under this key. `patience`: seconds, at most a minute.

        Raises:
            QueueTimeout: there was none.
            ServiceError: the engine refused the question, or died.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.questions[key] = answer
        patience = min(_QUESTION_SECONDS, patience)
        try:
            async with asyncio.timeout(patience):
                return await answer
        except TimeoutError:
            message = f"{self._name} did not answer within {patience:g} seconds"
            raise QueueTimeout(message, retry_after=_RETRY_SECONDS) from None
        finally:
            self.questions.pop(key, None)

    def deliver(self, report: Events) -> None:
        """Put each event into its request's mailbox; one for a closed request is dropped."""
        mailboxes = self.mailboxes
        for key, event in report.items:
            mailbox = mailboxes.get(key)
            if mailbox is not None:
                mailbox.put(event)
                if mailbox.ended:
                    del mailboxes[key]

    def answer(self, report: Answer) -> None:
        answer = self.questions.pop(report.id, None)
        if answer is not None and not answer.done():
            answer.set_result(report)

    def fail(self, report: Failed) -> None:
        """Fail the request or question that the engine refused or could not answer."""
        error = ServiceError.from_fields(report.code, report.message, report.param, report.retry_after)
        mailbox, question = self.mailboxes.pop(report.id, None), self.questions.pop(report.id, None)
        if mailbox is not None:
            mailbox.fail(error)
        elif question is not None and not question.done():
            question.set_exception(error)

    def fail_all(self, error: ServiceError) -> None:
        mailboxes, self.mailboxes = self.mailboxes, {}
        for mailbox in mailboxes.values():
            mailbox.fail(error)
        questions, self.questions = self.questions, {}
        for question in questions.values():
            if not question.done():
                question.set_exception(error)

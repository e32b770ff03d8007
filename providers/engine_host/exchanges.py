"""The open requests and questions of one engine: where its events and answers go."""

from __future__ import annotations

import asyncio
from typing import Any

from providers.engine_host.event_stream import Mailbox
from providers.engine_host.frames import Answer, Events, Failed
from providers.errors import ServiceError

__all__ = ["Exchanges"]


class Exchanges:
    """Mailboxes and questions by their keys."""

    def __init__(self) -> None:
        self.mailboxes: dict[str, Mailbox[Any]] = {}
        self.questions: dict[str, asyncio.Future[Answer]] = {}

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

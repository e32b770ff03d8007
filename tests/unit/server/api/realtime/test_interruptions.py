"""Speech of the user while an answer is made or played."""

from __future__ import annotations

import asyncio

from tests.unit.server.api.realtime.talks import COMPLETED, HELLO, prompt, talk, two_texts
from tests.unit.server.api.spoken.apps import repeat
from tests.unit.server.fakes import FakeChat


async def test_speech_interrupts_an_answer_at_the_word_that_was_heard(clock: list[float]) -> None:
    async with talk("Hello.", chat=FakeChat(script=two_texts)) as made:
        made.say(HELLO)
        words = (await made.socket.until("response.output_audio.words"))["words"]
        await made.socket.until("response.output_audio.delta")
        clock[0] += words[2]["end_time"] + 0.01
        made.say(HELLO)
        done = (await made.socket.until("response.done"))["response"]
        truncated = await made.socket.until("conversation.item.truncated")
        async with asyncio.timeout(10):
            await made.chat.closed.wait()
        made.socket.send("conversation.item.retrieve", item_id=truncated["item_id"])
        item = (await made.socket.until("conversation.item.retrieved"))["item"]
        made.chat.script = repeat
        await made.socket.until("response.done")

    assert (done["status"], done["status_details"]["reason"]) == ("cancelled", "turn_detected")
    assert truncated["audio_end_ms"] == round((words[2]["end_time"] + 0.01) * 1000)
    assert item["content"][0]["transcript"] == "One two three"
    assert prompt(made.answers()[-1]) == [("user", "Hello."), ("assistant", "One two three"), ("user", "Hello.")]


async def test_speech_cuts_an_answer_that_is_still_played(clock: list[float]) -> None:
    async with talk("One two three four five six seven.") as made:
        made.say(HELLO)
        words = (await made.socket.until("response.output_audio.words"))["words"]
        await made.socket.until("response.done")
        clock[0] += words[3]["end_time"] + 0.001
        made.say(HELLO)
        await made.socket.until("conversation.item.truncated")
        await made.socket.until("response.done")

    assert prompt(made.answers()[-1])[1] == ("assistant", "One two three four")


async def test_an_answer_that_was_played_is_not_cut(clock: list[float]) -> None:
    async with talk("One two three four five six seven.") as made:
        made.say(HELLO)
        await made.socket.until("response.done")
        clock[0] += 60
        made.say(HELLO)
        await made.socket.until("response.done")

    assert made.count("conversation.item.truncated") == 0
    assert prompt(made.answers()[-1])[1] == ("assistant", "One two three four five six seven.")


async def test_the_report_of_the_client_replaces_the_clock(clock: list[float]) -> None:
    async with talk("One two three four five six seven.") as made:
        made.say(HELLO)
        words = (await made.socket.until("response.output_audio.words"))["words"]
        await made.socket.until("response.done")
        clock[0] += words[4]["end_time"] + 0.001
        made.say(HELLO)
        cut = await made.socket.until("conversation.item.truncated")
        played = round(words[1]["end_time"] * 1000) + 1
        made.socket.send("conversation.item.truncate", item_id=cut["item_id"], content_index=0, audio_end_ms=played)
        again = await made.socket.until("conversation.item.truncated")
        made.socket.send("conversation.item.retrieve", item_id=cut["item_id"])
        item = (await made.socket.until("conversation.item.retrieved"))["item"]

    assert again["audio_end_ms"] == played
    assert item["content"][0]["transcript"] == "One two"


async def test_speech_does_not_interrupt_if_that_is_turned_off(clock: list[float]) -> None:
    async with talk("Hello.", chat=FakeChat(script=two_texts), interrupt_response=False) as made:
        made.say(HELLO)
        await made.socket.until("response.output_audio.delta")
        made.say(HELLO)
        while made.count(COMPLETED) < 2:
            await made.socket.until(COMPLETED)
        await made.now()

    assert made.count("response.created") == 1
    assert made.count("conversation.item.truncated") == 0
    assert made.count("error") == 0

"""A conversation as the request of a chat: responses are generated as every other answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from contracts.chat.audio import AudioOptions
from contracts.chat.messages import (
    ChatCompletionRequestMessage,
    ChatCompletionRequestMessageContentPartImage,
    ChatCompletionRequestMessageContentPartText,
    ContentPart,
    ImageURL,
)
from contracts.chat.request import ChatCompletionRequest
from contracts.chat.tools import CalledFunction, ChatCompletionFunctionTool, ChatCompletionTool, EarlierToolCall
from contracts.realtime.items import RealtimeFunctionCall, RealtimeItem, RealtimeMessage
from contracts.realtime.session import RealtimeAudioOutput, RealtimeFunctionTool, RealtimeSessionConfig, RealtimeTool

__all__ = ["chat_request"]


def chat_request(config: RealtimeSessionConfig, items: Iterable[RealtimeItem]) -> ChatCompletionRequest:
    """The request whose answer is the response. Its pieces of sound are PCM at 24 kHz."""
    spoken = "audio" in (config.output_modalities or ["audio"])
    most = config.max_output_tokens
    return ChatCompletionRequest(
        model=config.model,
        messages=[*_instructions(config.instructions), *_turns(items)],
        tools=[_tool(tool) for tool in config.tools or []] or None,
        tool_choice=config.tool_choice if config.tools else None,
        parallel_tool_calls=config.parallel_tool_calls,
        max_completion_tokens=None if most == "inf" else most,
        temperature=config.temperature,
        seed=config.seed,
        reasoning_effort=config.reasoning.effort if config.reasoning else None,
        modalities=["text", "audio"] if spoken else None,
        audio=_audio((config.audio and config.audio.output) or RealtimeAudioOutput()) if spoken else None,
        stream=True,
    )


def _audio(output: RealtimeAudioOutput) -> AudioOptions:
    return AudioOptions(
        voice=output.voice,
        format="pcm16",
        model=output.model,
        speed=output.speed,
        include_visemes=output.include_visemes,
        viseme_set=output.viseme_set,
        include_gestures=output.include_gestures,
        gesture_seed=output.gesture_seed,
    )


def _tool(tool: RealtimeTool) -> ChatCompletionTool:
    if not isinstance(tool, RealtimeFunctionTool):
        return tool
    return ChatCompletionFunctionTool(name=tool.name, description=tool.description, parameters=tool.parameters)


def _instructions(text: str | None) -> Iterator[ChatCompletionRequestMessage]:
    if text:
        yield ChatCompletionRequestMessage(role="system", content=text)


def _turns(items: Iterable[RealtimeItem]) -> list[ChatCompletionRequestMessage]:
    """One turn for each message and each result; the calls of an answer belong to its turn.

    Empty turns are left out.
    """
    turns: list[ChatCompletionRequestMessage] = []
    calls: list[EarlierToolCall] = []
    text: str | None = None

    def close() -> None:
        nonlocal text
        if text or calls:
            turns.append(ChatCompletionRequestMessage(role="assistant", content=text, tool_calls=[*calls] or None))
        text = None
        calls.clear()

    for item in items:
        if isinstance(item, RealtimeFunctionCall):
            function = CalledFunction(name=item.name, arguments=item.arguments)
            calls.append(EarlierToolCall(id=item.call_id, function=function))
        elif isinstance(item, RealtimeMessage) and item.role == "assistant":
            close()
            text = "".join(_texts(item)) or None
        else:
            close()
            if not isinstance(item, RealtimeMessage):
                turns.append(ChatCompletionRequestMessage(role="tool", tool_call_id=item.call_id, content=item.output))
            elif parts := _parts(item):
                turns.append(ChatCompletionRequestMessage(role=item.role, content=[*parts]))
    close()
    return turns


def _texts(item: RealtimeMessage) -> Iterator[str]:
    for part in item.content:
        if text := part.text or part.transcript:
            yield text


def _parts(item: RealtimeMessage) -> Sequence[ContentPart]:
    """Texts, transcripts and pictures. A recording that was not heard is left out."""
    parts: list[ContentPart] = []
    for part in item.content:
        if text := part.text or part.transcript:
            parts.append(ChatCompletionRequestMessageContentPartText(text=text))
        elif part.image_url:
            image = ImageURL(url=part.image_url, detail=part.detail)
            parts.append(ChatCompletionRequestMessageContentPartImage(type="image_url", image_url=image))
    return parts

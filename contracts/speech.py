"""`POST /v1/audio/speech`: speech with the times of its words and visemes.

Times are seconds from the start of the utterance (milliseconds in HeadTTS's arrays), and continue over the pieces of a
stream.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import attrs
from annotated_types import Ge, Le, MaxLen, MinLen

from contracts._fields import ModelName, Seconds
from contracts.parameters import honoured, noted

__all__ = [
    "AudioFormat",
    "CreateSpeechRequest",
    "GestureName",
    "HeadTtsSpeech",
    "HeadTtsSpeechDelta",
    "SpeakerVoice",
    "SpeechAudioDelta",
    "SpeechAudioDone",
    "SpeechGesture",
    "SpeechStreamEvent",
    "SpeechUsage",
    "SpeechViseme",
    "SpeechWithTimings",
    "SpeechWord",
    "SpokenTurn",
    "UnspokenText",
    "VisemeSet",
    "VoiceId",
]

GestureName = Literal["blink", "browRaise", "gazeAway", "headNod", "headTilt"]
AudioFormat = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
VisemeSet = Literal["oculus", "azure", "arkit", "rhubarb"]

LanguageName = Annotated[str, MinLen(1), MaxLen(64)]

VoiceName = Annotated[str, MinLen(1), MaxLen(512)]
"""A voice's id, an OpenAI name, or a mix of them."""


@attrs.frozen(kw_only=True)
class VoiceId:
    """A voice in OpenAI's object form."""

    id: VoiceName


@attrs.frozen(kw_only=True)
class SpokenTurn:
    """What one speaker says before the next one speaks."""

    speaker: Annotated[str, MinLen(1), MaxLen(64)] = attrs.field(
        metadata=honoured("A name of the client's, also one that `speakers` does not have.")
    )
    text: Annotated[str, MinLen(1)] = attrs.field(metadata=honoured("As `input`."))


@attrs.frozen(kw_only=True)
class SpeakerVoice:
    """How a speaker speaks. What is left out is as in the request."""

    voice: VoiceName | VoiceId | None = attrs.field(default=None, metadata=honoured(otherwise="`voice` of the request"))
    speed: Annotated[float, Ge(0.25), Le(4)] | None = attrs.field(
        default=None, metadata=honoured(otherwise="`speed` of the request")
    )


@attrs.frozen(kw_only=True)
class CreateSpeechRequest:
    """A text to speak.

    `null` means the same as leaving a field out. Unknown fields are noted.
    """

    input: Annotated[str, MinLen(1)] | list[SpokenTurn] = attrs.field(
        metadata=honoured(
            "The text to speak, or one `<speak>` element of [SSML](#ssml). See [Text](#text). White space only: "
            "`400`. `--max-speech-characters` limits its length. Extension: turns of several [speakers](#speakers).",
            values='text, not empty, or `[{"speaker": "A", "text": "…"}, …]`',
        )
    )
    model: ModelName | None = attrs.field(
        default=None,
        metadata=honoured(
            "With one model that speaks, any name works and the response names the real one. With several, it must be "
            "the id or an alias of one.",
            otherwise="the only model that speaks",
        ),
    )
    voice: VoiceName | VoiceId | None = attrs.field(
        default=None,
        metadata=honoured(
            "See [Voices](#voices).",
            values='a voice, a mix, or `{"id": "…"}`',
            otherwise="`af_heart`, or the model's first voice",
        ),
    )
    speakers: dict[str, SpeakerVoice] | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. The voices of [speakers](#speakers) by name. Only with turns.",
            values='`{"A": {"voice": "…", "speed": 1}, …}`',
            otherwise="`voice` and `speed` for all",
        ),
    )
    language: LanguageName | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. The language of the text: BCP 47, ISO 639 or a name (`es`, `es-MX`, `spa`, `Spanish`). See "
            "[Languages](#languages).",
            otherwise="that of the voice",
        ),
    )
    lang_code: LanguageName | None = attrs.field(
        default=None,
        metadata=honoured(
            "Kokoro-FastAPI's name of `language`. Both may be sent if they agree.", otherwise="as `language`"
        ),
    )
    response_format: AudioFormat | None = attrs.field(
        default=None, metadata=honoured("See [Formats](#formats).", default="mp3")
    )
    format: AudioFormat | None = attrs.field(
        default=None,
        metadata=honoured(
            "Another name of `response_format`. Both may be sent if they agree.", otherwise="as `response_format`"
        ),
    )
    speed: Annotated[float, Ge(0.25), Le(4)] | None = attrs.field(
        default=None,
        metadata=honoured("2 takes half the time. The pitch stays, and all times are those of the audio.", default=1),
    )
    stream_format: Literal["audio", "sse"] | None = attrs.field(
        default=None, metadata=honoured("Both are streamed.", default="audio")
    )
    stream: bool | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension, as Kokoro-FastAPI names it. False: the file is sent when it is complete, with its length in "
            "`Content-Length` and, where the format has a field for it, in its header.",
            otherwise="see [Formats](#formats)",
        ),
    )
    timeout: Seconds | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. Seconds from entering the engine; then `504`, an error event, or a connection that breaks off.",
            otherwise="no limit",
        ),
    )

    # The text.
    input_format: Literal["text", "markdown"] | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. `text`: every character is text, marks included. `markdown`: read as CommonMark. See "
            "[Marks](#marks).",
            otherwise="text, of which unmistakable marks are silent",
        ),
    )
    lexicon: dict[str, str] | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. Phonemes by word, up to 1000. See [Pronunciation](#pronunciation). They override those of "
            "`--lexicon`.",
            values='`{"Siobhan": "ʃəvˈɔn"}`',
            otherwise="none",
        ),
    )

    # Timings.
    include_visemes: bool | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. True: one JSON object with audio and times; with `stream_format` `sse`, times on every event.",
            default=False,
        ),
    )
    viseme_set: VisemeSet | None = attrs.field(
        default=None, metadata=honoured("Extension. Only with `include_visemes`.", default="oculus")
    )
    timing_format: Literal["headtts"] | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. Times as the arrays that TalkingHead takes. `include_visemes` may be left out. Only with "
            "`oculus`.",
            otherwise="objects",
        ),
    )

    include_gestures: bool | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. True: [gestures](#gestures) of the speaker and of a listener. Only with `include_visemes`, and "
            "not with `headtts`.",
            default=False,
        ),
    )
    gesture_seed: Annotated[int, Ge(0), Le(2**53)] | None = attrs.field(
        default=None,
        metadata=honoured("Extension. Equal seeds give equal gestures. Only with `include_gestures`.", default=0),
    )

    instructions: Any = attrs.field(default=None, metadata=noted("The voices take no instructions.", accepted=("",)))


@attrs.frozen(kw_only=True)
class SpeechWord:
    """A word of the normalised text, without punctuation, and the stretch of the input that it says.

    Words of one number or sign share a stretch: `$5` is spoken as `five` and `dollars`.
    """

    word: str
    start_time: float
    end_time: float
    text: str
    """The stretch as it was written."""
    start_char: int
    """Offset of the stretch in `input`, in Unicode code points."""
    end_char: int
    """Offset of its end."""
    speaker: str | None = None
    """Present if the request has turns. Offsets are then within the text of the turn."""
    input_index: int | None = None
    """Number of the turn in `input`, from 0."""


@attrs.frozen(kw_only=True)
class SpeechViseme:
    """A mouth shape. Each starts at the end of the previous one.

    `viseme` is the name of the shape in its set, and `viseme_id` its number in the set. `blendshapes` (of the
    `arkit` set) are weights from 0 to 1 by ARKit's names; weights that are left out are 0.
    """

    viseme: str
    viseme_id: int
    phoneme: str
    """The phoneme in misaki's alphabet; empty for silence."""
    start_time: float
    end_time: float
    blendshapes: dict[str, float] | None = None
    speaker: str | None = None
    """Present if the request has turns. A pause belongs to the speaker before it."""


@attrs.frozen(kw_only=True)
class SpeechGesture:
    """A movement of the face or the head, for an avatar to play from `start_time` to `end_time` with its own easing."""

    gesture: GestureName
    start_time: float
    end_time: float
    intensity: float
    """From 0 to 1."""
    targets: dict[str, float]
    """Where it is in its middle: ARKit's blend shapes from 0 to 1, and TalkingHead's `headRotateX`, `Y` and `Z` in
    radians."""
    role: Literal["speaker", "listener"]
    speaker: str | None = None
    """Present if the request has turns: the one who moves."""


@attrs.frozen(kw_only=True)
class UnspokenText:
    """Letters of the input that the voice cannot say, with their offsets in Unicode code points."""

    text: str
    start_char: int
    end_char: int
    input_index: int | None = None
    """Number of the turn in `input`, if it has turns."""


@attrs.frozen(kw_only=True)
class SpeechWithTimings:
    """A complete utterance. `duration` is the sample count over the sample rate, and the end of the last viseme."""

    audio: str
    """Base64 of a file of this format (for `pcm`, of the samples only)."""
    format: AudioFormat
    sample_rate: int
    duration: float
    words: list[SpeechWord]
    visemes: list[SpeechViseme]
    gestures: list[SpeechGesture] | None = None
    """In order of `start_time`. Present if they were requested, as in events."""
    unspoken: list[UnspokenText] | None = None
    """Present if a part of the input could not be said."""
    model: str
    request_id: str


@attrs.frozen(kw_only=True)
class _HeadTtsTimings:
    """Parallel arrays, in milliseconds."""

    words: list[str]
    subtitles: list[str]
    """Extension: for each word the stretch of the input that it says; empty where the previous word has the same."""
    wtimes: list[int]
    wdurations: list[int]
    visemes: list[str]
    """Oculus names."""
    vtimes: list[int]
    vdurations: list[int]
    phonemes: list[str]


@attrs.frozen(kw_only=True)
class HeadTtsSpeech(_HeadTtsTimings):
    """A complete utterance in HeadTTS's format, for `speakAudio` of TalkingHead."""

    audio: str
    """Base64."""
    audio_encoding: AudioFormat = attrs.field(alias="audioEncoding")
    unspoken: list[UnspokenText] | None = None
    """Extension: present if a part of the input could not be said."""
    model: str
    request_id: str


@attrs.frozen(kw_only=True)
class SpeechAudioDelta:
    """The next bytes of the audio. The fields after `audio` are present if timings were requested."""

    type: Literal["speech.audio.delta"] = "speech.audio.delta"
    audio: str
    """Base64. The decoded deltas, concatenated, are a file of the requested format."""
    piece: int | None = None
    """Number of the piece, from 1: a sentence, or a part of one."""
    pieces: int | None = None
    """Number of pieces: present on the last piece, and earlier if it is known."""
    text: str | None = None
    """The normalised text of the piece. Empty for the last bytes of the audio, which add no words."""
    start_char: int | None = None
    """Offset of the piece's stretch in `input`, in Unicode code points. None for the last bytes of the audio."""
    end_char: int | None = None
    """Offset of the end of that stretch."""
    speaker: str | None = None
    """Present if the request has turns, as `input_index`."""
    input_index: int | None = None
    words: list[SpeechWord] | None = None
    visemes: list[SpeechViseme] | None = None
    gestures: list[SpeechGesture] | None = None
    """Those that begin within the piece; they may end after it."""


@attrs.frozen(kw_only=True)
class HeadTtsSpeechDelta(_HeadTtsTimings):
    """The next bytes of the audio, for `streamAudio` of TalkingHead."""

    type: Literal["speech.audio.delta"] = "speech.audio.delta"
    audio: str


@attrs.frozen(kw_only=True)
class SpeechUsage:
    """`input_tokens` counts characters of the input, `output_tokens` frames of 25 ms of audio."""

    input_tokens: int
    output_tokens: int
    total_tokens: int


@attrs.frozen(kw_only=True)
class SpeechAudioDone:
    """The audio is complete."""

    type: Literal["speech.audio.done"] = "speech.audio.done"
    usage: SpeechUsage
    duration: float
    """Seconds."""
    unspoken: list[UnspokenText] | None = None
    """Present if a part of the input could not be said."""
    model: str
    request_id: str


SpeechStreamEvent = SpeechAudioDelta | HeadTtsSpeechDelta | SpeechAudioDone

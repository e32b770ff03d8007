"""Speech to files: the formats it is sent in, encoded and streamed as it is made."""

from server.audio.encoders import FORMATS, AudioEncoder, AudioFormatInfo, encode_whole, new_encoder
from server.audio.pieces import QUIET_SECONDS, EncodedAudio, audible, collected, encoded
from server.audio.stream import AudioStream, AudioStreamResponse

__all__ = [
    "FORMATS",
    "QUIET_SECONDS",
    "AudioEncoder",
    "AudioFormatInfo",
    "AudioStream",
    "AudioStreamResponse",
    "EncodedAudio",
    "audible",
    "collected",
    "encode_whole",
    "encoded",
    "new_encoder",
]

"""The options of what the server fetches or reads for requests."""

from __future__ import annotations

from server.settings.options._option import Option, server_option
from server.settings.parsers import boolean, choice, integer, seconds, size
from server.settings.path_parsers import folder

__all__ = ["MEDIA_OPTIONS"]

MEDIA_OPTIONS: tuple[Option, ...] = (
    server_option(
        "max_media",
        "MAX_MEDIA",
        "Maximum size of a file that a request names by URL or contains, e.g. 10MB.",
        size(1),
        default=32_000_000,
        default_text="32MB",
        metavar="SIZE",
    ),
    server_option(
        "media_timeout",
        "MEDIA_TIMEOUT",
        "Seconds that the server takes to fetch a URL that a request names.",
        seconds(),
        default=30.0,
        default_text="30",
        metavar="SECONDS",
    ),
    server_option(
        "allow_private_media",
        "ALLOW_PRIVATE_MEDIA",
        "Fetch URLs that requests name also from loopback, private and link-local addresses: everyone who can send "
        "requests then reaches what this machine reaches.",
        boolean,
        default=False,
        default_text="off",
        boolean=True,
    ),
    server_option(
        "media_root",
        "MEDIA_ROOT",
        "Folder whose files requests may name by file URLs.",
        folder,
        default_text="none; file URLs are refused",
        metavar="DIR",
        example="media",
    ),
    server_option(
        "audio_input",
        "AUDIO_INPUT",
        "What happens to recordings in the turns of a chat, if the request does not set it: a model of this server "
        "transcribes them, or they are refused.",
        choice(("refuse", "transcribe")),
        default="refuse",
        default_text="refuse",
        metavar="refuse|transcribe",
    ),
    server_option(
        "max_picture_side",
        "MAX_PICTURE_SIDE",
        "Pixels of the longest side of a picture that a model reads. Larger ones are scaled down.",
        integer(1, 16_384),
        default=2048,
        default_text="2048",
        metavar="PIXELS",
    ),
)

"""The options of the whole server: its address, its limits, its store of responses and its log."""

from __future__ import annotations

from server.settings.option import Option, server_option
from server.settings.parsers import boolean, choice, database, hosts, integer, log_file, origins, seconds, size, text

__all__ = ["CONFIG", "LOGGING_OPTIONS", "SERVER_OPTIONS"]

CONFIG = server_option(
    "config",
    "CONFIG_FILE",
    "YAML file whose keys are these options, with underscores instead of dashes. A `models` list serves several "
    "models; its entries override the keys outside the list.",
    text,
    metavar="FILE",
    example="config.yaml",
)

SERVER_OPTIONS: tuple[Option, ...] = (
    server_option(
        "host",
        "SERVER_HOST",
        "Address to listen on; `localhost` is 127.0.0.1 and, where the machine has IPv6, ::1.",
        text,
        default="localhost",
        default_text="localhost",
        metavar="ADDRESS",
    ),
    server_option(
        "port",
        "SERVER_PORT",
        "Port to listen on; 0 chooses a free one.",
        integer(0, 65535),
        default=8000,
        default_text="8000",
        metavar="PORT",
    ),
    server_option(
        "api_key",
        "API_KEY",
        "Key that requests must send (`Authorization: Bearer KEY`).",
        text,
        default_text="no key is required",
        metavar="KEY",
        example="change-me",
    ),
    server_option(
        "cors_origins",
        "CORS_ORIGINS",
        "Origins whose web pages may call this server, separated by commas.",
        origins,
        default=("*",),
        default_text="*",
        metavar="ORIGINS",
    ),
    server_option(
        "allowed_hosts",
        "ALLOWED_HOSTS",
        "Host names that requests may be for while the server listens on this machine only, separated by commas: those "
        "of a proxy in front of it. Loopback names and IP addresses are always allowed.",
        hosts,
        default=(),
        default_text="none",
        metavar="HOSTS",
        example="debate.example.org",
    ),
    server_option(
        "max_body_size",
        "MAX_BODY_SIZE",
        "Maximum size of a request body, e.g. 32MB.",
        size(1),
        default=32_000_000,
        default_text="32MB",
        metavar="SIZE",
    ),
    server_option(
        "max_upload",
        "MAX_UPLOAD",
        "Maximum size of an audio file to transcribe, e.g. 100MB. OpenAI's own limit is 25MiB.",
        size(1),
        default=200_000_000,
        default_text="200MB",
        metavar="SIZE",
    ),
    server_option(
        "max_audio_seconds",
        "MAX_AUDIO_SECONDS",
        "Maximum duration of a recording to transcribe, in seconds; 0 for no limit.",
        integer(0),
        default=86_400,
        default_text="86400, one day",
        metavar="SECONDS",
        example="7200",
    ),
    server_option(
        "strict_parameters",
        "STRICT_PARAMETERS",
        "Refuse parameters that have no effect, unknown ones included. Otherwise the header X-Ignored-Parameters names "
        "them.",
        boolean,
        default=False,
        default_text="off",
        boolean=True,
    ),
    server_option(
        "max_speech_characters",
        "MAX_SPEECH_CHARACTERS",
        "Maximum number of characters of a text to speak; 0 for no limit.",
        integer(0),
        default_text="16384, or 262144 where the audio is streamed",
        metavar="N",
        example="50000",
    ),
    server_option(
        "embeddings_truncate",
        "EMBEDDINGS_TRUNCATE",
        "Where inputs over the context of an embedding or reranking model are cut, if the request does not set it: at "
        "their end, at their start, or not at all, which refuses them.",
        choice(("none", "end", "start")),
        default="none",
        default_text="none",
        metavar="none|end|start",
    ),
    server_option(
        "heartbeat_interval",
        "HEARTBEAT_INTERVAL",
        "Seconds without output in a stream after which the server sends a keep-alive comment.",
        seconds(),
        default=15.0,
        default_text="15",
        metavar="SECONDS",
    ),
    server_option(
        "grace_period",
        "GRACE_PERIOD",
        "Seconds that running requests have to finish after SIGTERM.",
        seconds(zero=True),
        default=10.0,
        default_text="10",
        metavar="SECONDS",
    ),
    server_option(
        "response_store",
        "RESPONSE_STORE",
        "SQLite file in which /v1/responses stores responses, so that clients can fetch or continue them.",
        database,
        default=":memory:",
        default_text=":memory:",
        metavar="FILE",
        example="responses.db",
    ),
    server_option(
        "response_store_ttl",
        "RESPONSE_STORE_TTL",
        "Seconds that a stored response is kept after its last use.",
        seconds(),
        default=86_400.0,
        default_text="86400",
        metavar="SECONDS",
    ),
    server_option(
        "response_store_size",
        "RESPONSE_STORE_SIZE",
        "Maximum total size of all stored responses; those unused for longest are deleted first.",
        size(1_000),
        default=256_000_000,
        default_text="256MB",
        metavar="SIZE",
    ),
    CONFIG,
)

LOGGING_OPTIONS: tuple[Option, ...] = (
    server_option(
        "log_level",
        "LOG_LEVEL",
        "Lowest severity of the messages to log.",
        choice(("debug", "info", "warning", "error"), synonyms={"warn": "warning", "critical": "error"}),
        default="info",
        default_text="info",
        metavar="debug|info|warning|error",
        group="Logging",
    ),
    server_option(
        "log_format",
        "LOG_FORMAT",
        "Format of the log: console for people, json for log collectors.",
        choice(("console", "json")),
        default="console",
        default_text="console",
        metavar="console|json",
        group="Logging",
    ),
    server_option(
        "log_file",
        "LOG_FILE",
        "File to which the log is also written, without colours; lines are added at its end. The server follows a "
        "rotation by logrotate or newsyslog. `none` writes no file.",
        log_file,
        default_text="none",
        metavar="FILE",
        group="Logging",
        example="server.log",
    ),
    server_option(
        "log_bodies",
        "LOG_BODIES",
        "Log the bodies of requests and responses, including prompts and answers. Each is cut at 64 kB; secrets are "
        "masked.",
        boolean,
        default=False,
        default_text="off",
        boolean=True,
        group="Logging",
    ),
    server_option(
        "trace_content",
        "TRACE_CONTENT",
        "Record the prompts and answers of chats, completions and responses in traces, as OpenTelemetry's GenAI "
        "conventions define it. The content of embeddings, speech and transcription is not recorded: the conventions "
        "have no attributes for it.",
        boolean,
        default=False,
        default_text="off",
        boolean=True,
        group="Logging",
    ),
)

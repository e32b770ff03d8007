"""The tables of parameters in `docs/`, from the contracts.

`python -m server.api.docs` writes them between their markers; a test holds the pages to it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import attrs
from annotated_types import Ge, Gt, Le, MaxLen, MinLen

from contracts.bounds import MaxKeyLen
from contracts.chat.request import ChatCompletionRequest
from contracts.completions import CompletionRequest
from contracts.embeddings import EmbeddingRequest
from contracts.images import CreateImageEditRequest, CreateImageRequest
from contracts.messages.request import CountTokensRequest, MessagesRequest
from contracts.parameters import Parameter, parameters
from contracts.realtime.beta import CreateBetaSessionRequest
from contracts.realtime.response import RealtimeResponseCreateParams
from contracts.realtime.secrets import CreateClientSecretRequest
from contracts.realtime.session import (
    RealtimeAudioInput,
    RealtimeAudioOutput,
    RealtimeSessionConfig,
    RealtimeTranscription,
    ServerVad,
)
from contracts.rerank import RerankRequest
from contracts.responses.request import CreateResponse
from contracts.retrieval.files import CreateFileRequest
from contracts.retrieval.search import VectorStoreSearchRequest
from contracts.retrieval.store_files import CreateVectorStoreFileBatchRequest, CreateVectorStoreFileRequest
from contracts.retrieval.stores import CreateVectorStoreRequest
from contracts.service.models import LoadModelRequest, PinModelRequest
from contracts.service.pull import PullModelRequest
from contracts.speech import CreateSpeechRequest
from contracts.transcription import CreateTranscriptionRequest

__all__ = ["PAGES", "page", "table"]

PAGES: Mapping[str, Sequence[type[attrs.AttrsInstance]]] = {
    "embeddings.md": (EmbeddingRequest, RerankRequest),
    "images.md": (CreateImageRequest, CreateImageEditRequest),
    "messages.md": (MessagesRequest, CountTokensRequest),
    "models.md": (LoadModelRequest, PinModelRequest),
    "parameters.md": (ChatCompletionRequest, CompletionRequest),
    "realtime.md": (
        CreateClientSecretRequest,
        RealtimeSessionConfig,
        RealtimeAudioInput,
        RealtimeTranscription,
        ServerVad,
        RealtimeAudioOutput,
        RealtimeResponseCreateParams,
        CreateBetaSessionRequest,
    ),
    "responses.md": (CreateResponse,),
    "retrieval.md": (
        CreateFileRequest,
        CreateVectorStoreRequest,
        CreateVectorStoreFileRequest,
        CreateVectorStoreFileBatchRequest,
        VectorStoreSearchRequest,
    ),
    "speech.md": (CreateSpeechRequest,),
    "transcription.md": (CreateTranscriptionRequest,),
    "weights.md": (PullModelRequest,),
}
"""Files of `docs/`, and the contracts whose tables they have."""

_STATUSES = ("honoured", "noted", "refused")


def page(text: str, contracts: Sequence[type[attrs.AttrsInstance]]) -> str:
    """The page with its tables brought up to date.

    Raises:
        ValueError: the page has no markers for one of the contracts.
    """
    for contract in contracts:
        begin, end = f"<!-- parameters of {contract.__name__} -->", "<!-- end of parameters -->"
        text, found = re.subn(
            f"{re.escape(begin)}\n.*?{end}",
            lambda _, begin=begin, contract=contract, end=end: f"{begin}\n{table(contract)}\n{end}",  # type: ignore[misc]
            text,
            flags=re.DOTALL,
        )
        if found != 1:
            raise ValueError(f"expected one table between {begin} and {end}, found {found}")
    return text


def table(contract: type[attrs.AttrsInstance]) -> str:
    """A row for each field: required ones first, then honoured, noted and refused ones."""
    hints = get_type_hints(contract, include_extras=True)
    found = parameters(contract)
    rows = ["| field | status | values | default | notes |", "|---|---|---|---|---|"]
    for field in sorted(attrs.fields(contract), key=lambda field: _place(field, found[field.name], contract)):
        parameter = found[field.name]
        cells = (
            f"`{field.name}`",
            parameter.status,
            _values(parameter, hints[field.name]),
            _default(parameter, field),
            parameter.note or _sentence(parameter.instead),
        )
        rows.append("|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|")
    return "\n".join(rows)


def _place(field: attrs.Attribute[Any], parameter: Parameter, contract: type) -> tuple[bool, int, int]:
    """The class's own fields come before those of its bases."""
    bases = enumerate(contract.__mro__)
    owner = next(place for place, base in bases if field.name in inspect.get_annotations(base))
    return field.default is not attrs.NOTHING, _STATUSES.index(parameter.status), owner


def _values(parameter: Parameter, hint: Any) -> str:
    if parameter.status != "honoured" and parameter.accepted_text:
        return f"unless {parameter.accepted_text}"
    if parameter.status == "refused":
        return ""
    return parameter.values or _one(hint)


def _default(parameter: Parameter, field: attrs.Attribute[Any]) -> str:
    if field.default is attrs.NOTHING:
        return "required"
    return parameter.default_text


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}." if words else ""


def _one(type_: Any) -> str:
    """One value of a type, in words."""
    base, bounds = _split(type_)
    if get_origin(base) in (Union, UnionType):
        return ", or ".join(_one(arm) for arm in get_args(base) if arm is not NoneType)
    if get_origin(base) is Literal:
        return ", ".join(f"`{name}`" for name in get_args(base))
    if base in (int, float):
        return _range(bounds) or ("any 64-bit integer" if base is int else "any number")
    if base is bool:
        return "true, false"
    if base is str:
        return f"text{_characters(bounds)}"
    if get_origin(base) is list:
        return f"{_count(bounds) or 'a list of'} {_many(get_args(base)[0])}"
    if get_origin(base) is dict and get_args(base)[1] is not Any:
        keys = next((f", keys of up to {bound.max_length}" for bound in bounds if isinstance(bound, MaxKeyLen)), "")
        return f"{_count(bounds) or 'an object of'} {_many(get_args(base)[1])}{keys}"
    return "" if base is Any else "an object"


def _many(type_: Any) -> str:
    """Several values of a type, in words."""
    base, bounds = _split(type_)
    return f"texts{_characters(bounds)}" if base is str else _one(type_)


def _split(type_: Any) -> tuple[Any, list[Any]]:
    if get_origin(type_) is Annotated:
        base, *bounds = get_args(type_)
        return base, bounds
    return type_, []


def _range(bounds: Sequence[Any]) -> str:
    """`0 to 2`, `over 0, up to 100`, `1 or more`."""
    found: dict[type, Any] = {type(bound): bound for bound in bounds}
    if Gt in found:
        return f"over {found[Gt].gt}, up to {found[Le].le}"
    if Ge in found:
        return f"{found[Ge].ge} to {found[Le].le}" if Le in found else f"{found[Ge].ge} or more"
    return ""


def _characters(bounds: Sequence[Any]) -> str:
    least, most = _lengths(bounds)
    if most is None:
        return ", not empty" if least else ""
    return f" of {least} to {most} characters" if least else f" of up to {most} characters"


def _count(bounds: Sequence[Any]) -> str:
    least, most = _lengths(bounds)
    if most is None:
        return f"{least} or more" if least else ""
    return f"{least} to {most}" if least else f"up to {most}"


def _lengths(bounds: Sequence[Any]) -> tuple[int, int | None]:
    least = next((bound.min_length for bound in bounds if isinstance(bound, MinLen)), 0)
    return least, next((bound.max_length for bound in bounds if isinstance(bound, MaxLen)), None)


if __name__ == "__main__":
    docs = Path(__file__).resolve().parents[2] / "docs"
    for name, contracts in PAGES.items():
        path = docs / name
        path.write_text(page(path.read_text(encoding="utf-8"), contracts), encoding="utf-8")

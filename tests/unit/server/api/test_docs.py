"""The tables of parameters in docs/ are generated from the contracts, and their defaults are true."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args, get_type_hints

import attrs
import pytest

from contracts.chat.request import ChatCompletionRequest
from contracts.completions import CompletionRequest
from contracts.embeddings import EmbeddingRequest
from contracts.messages.request import CountTokensRequest, MessagesRequest
from contracts.parameters import Parameter, parameters
from contracts.realtime.response import RealtimeResponseCreateParams
from contracts.realtime.session import (
    RealtimeAudioInput,
    RealtimeAudioOutput,
    RealtimeSessionConfig,
    RealtimeTranscription,
    ServerVad,
)
from contracts.rerank import RerankRequest
from contracts.responses.request import CreateResponse
from contracts.sampling import SamplingOptions
from contracts.speech import CreateSpeechRequest
from providers.chat.types import SamplingParams
from providers.engines.sampling.settings import REPETITION_CONTEXT, resolve
from server.api.chat.request import to_generation_request
from server.api.completions.request import to_generation_requests
from server.api.docs import PAGES, page, table
from server.api.embeddings.request import to_embedding_request, to_rerank_request
from server.api.messages.request import to_message_generation, to_message_prompt
from server.api.responses.conversation import input_items
from server.api.responses.request import to_response_generation
from server.api.responses.tools import offer
from server.api.speech.request import speech_answer, to_speech_request
from server.serialization import converter
from tests.unit.server.harness import make_app

DOCS = Path(__file__).parents[4] / "docs"
FROM_SOCKETS = (
    RealtimeAudioInput,
    RealtimeAudioOutput,
    RealtimeResponseCreateParams,
    RealtimeSessionConfig,
    RealtimeTranscription,
    ServerVad,
)
"""Contracts of events, which no handler has as its body."""
CONTRACTS = dict.fromkeys(contract for contracts in PAGES.values() for contract in contracts)


@pytest.mark.parametrize("name", PAGES)
def test_the_tables_of_a_page_are_the_contracts(name: str) -> None:
    text = (DOCS / name).read_text(encoding="utf-8")
    assert text == page(text, PAGES[name]), "run python -m server.api.docs"


def requests() -> list[type[attrs.AttrsInstance]]:
    """Every contract that a handler reads."""
    found: dict[type[attrs.AttrsInstance], None] = {}
    for route in make_app().routes:
        for handler in getattr(route, "route_handlers", ()):
            annotation = handler.parsed_fn_signature.parameters.get("data")
            if annotation is not None:
                types = (annotation.annotation, *get_args(annotation.annotation))  # a body may be left out
                found[next(each for each in types if attrs.has(each))] = None
    return [*found]


def inside(*types: Any) -> list[type[attrs.AttrsInstance]]:
    """The classes of the objects inside contracts, at any depth."""
    found: dict[type[attrs.AttrsInstance], None] = {}
    open_ = [hint for type_ in types for hint in get_type_hints(type_).values()]
    while open_:
        each = open_.pop()
        if not attrs.has(each):
            open_ += get_args(each)
        elif each not in found:
            found[each] = None
            open_ += get_type_hints(each).values()
    return [*found]


def test_every_contract_with_a_table_is_read_by_a_handler() -> None:
    assert {*CONTRACTS} <= {*requests(), *FROM_SOCKETS}


@pytest.mark.parametrize(
    "contract", [*requests(), *FROM_SOCKETS, *inside(MessagesRequest)], ids=lambda contract: contract.__name__
)
def test_every_field_states_what_happens_to_it(contract: type[attrs.AttrsInstance]) -> None:
    stated = parameters(contract)
    assert list(stated) == [field.name for field in attrs.fields(contract)]
    for field in attrs.fields(contract):
        parameter = stated[field.name]
        has_default = parameter.default is not None or bool(parameter.otherwise)
        optional = field.default is not attrs.NOTHING
        assert has_default == (optional and parameter.status == "honoured"), field.name


@pytest.mark.parametrize("contract", [*requests(), *inside(*requests())], ids=lambda contract: contract.__name__)
def test_a_field_without_effect_takes_any_value(contract: type[attrs.AttrsInstance]) -> None:
    """A value of another type than OpenAI's changes nothing either."""
    hints = get_type_hints(contract)
    noted = [name for name, parameter in parameters(contract).items() if parameter.status == "noted"]
    assert {name: hints[name] for name in noted if hints[name] is not Any} == {}


def test_a_table_has_required_fields_first_and_refused_ones_last() -> None:
    rows = table(ChatCompletionRequest).splitlines()[2:]
    assert [row.split("|")[1].strip(" `") for row in rows[:2]] == ["messages", "max_completion_tokens"]
    assert [row.split("|")[2].strip() for row in table(CreateResponse).splitlines()[-2:]] == ["refused", "refused"]


def test_a_page_without_the_markers_of_a_table_is_an_error() -> None:
    with pytest.raises(ValueError, match="parameters of CompletionRequest"):
        page("# Parameters\n", [CompletionRequest])


def test_values_ranges_and_defaults_come_from_the_fields() -> None:
    @attrs.frozen(kw_only=True)
    class Nothing: ...

    assert table(Nothing).count("\n") == 1
    rows = {row.split("|")[1].strip(" `"): row for row in table(CreateResponse).splitlines()}
    assert "| -2 to 2 | `0` |" in rows["presence_penalty"]
    assert "| over 0, up to 86400 | no limit |" in rows["timeout"]
    assert "| up to 16 texts of up to 512 characters, keys of up to 64 | `{}` |" in rows["metadata"]
    assert '| unless `{}` or `{"mode": "implicit"}` |' in rows["prompt_cache_options"]


CHAT = {"model": "any", "messages": [{"role": "user", "content": "Hi"}]}
BODIES: dict[type[attrs.AttrsInstance], dict[str, Any]] = {
    ChatCompletionRequest: CHAT,
    CompletionRequest: {"model": "any", "prompt": "Hi"},
    CreateResponse: {"model": "any", "input": "Hi"},
    CreateSpeechRequest: {"input": "Hi"},
    CountTokensRequest: CHAT,
    EmbeddingRequest: {"model": "any", "input": "Hi"},
    MessagesRequest: CHAT,
    RerankRequest: {"model": "any", "query": "q", "documents": ["d"]},
}
SAMPLING = {field.name for field in attrs.fields(SamplingOptions)}


def translated(request: Any) -> Any:
    match request:
        case ChatCompletionRequest():
            return to_generation_request(request, id="id")
        case CompletionRequest():
            return to_generation_requests(request, id="id")
        case CreateResponse():
            items = input_items(request.input, {}, response_id="resp_1")
            return to_response_generation(request, items, offer(request.tools), id="id")
        case CreateSpeechRequest():
            return to_speech_request(request, id="id"), speech_answer(request)
        case MessagesRequest():
            return to_message_generation(request, id="id")
        case CountTokensRequest():
            return to_message_prompt(request)
        case EmbeddingRequest():
            return to_embedding_request(request, id="id")
        case _:
            return to_rerank_request(request, id="id")


def defaults(contract: type[attrs.AttrsInstance]) -> list[tuple[str, Any]]:
    """The defaults that are values, except those of sampling, which are defaults of the engine."""
    found: dict[str, Parameter] = {**parameters(contract)}
    elsewhere = SAMPLING - {"stop", "logit_bias"} | {"stream_options"}
    return [(name, one.default) for name, one in found.items() if one.default is not None and name not in elsewhere]


@pytest.mark.parametrize(
    ("contract", "name", "value"),
    [
        pytest.param(contract, name, value, id=f"{contract.__name__}.{name}")
        for contract in BODIES
        for name, value in defaults(contract)
        if name not in ("viseme_set", "gesture_seed")  # are refused where none are requested
    ],
)
def test_a_default_means_the_same_as_leaving_the_field_out(
    contract: type[attrs.AttrsInstance], name: str, value: Any
) -> None:
    body = BODIES[contract] | ({"logprobs": True} if name == "top_logprobs" and contract is not CreateResponse else {})
    sent = converter.structure({**body, name: value}, contract)
    assert translated(sent) == translated(converter.structure(body, contract))


def test_the_defaults_of_sampling_are_the_engine_s() -> None:
    engine = resolve(SamplingParams(), {}, vocabulary=100)
    stated = parameters(SamplingOptions)
    for name in ("temperature", "top_p", "top_k", "min_p"):
        assert stated[name].otherwise.endswith(f", else {getattr(engine, name):g}")
    assert stated["xtc_probability"].default == engine.xtc_probability
    assert stated["xtc_threshold"].default == engine.xtc_threshold
    assert stated["repetition_context_size"].default == REPETITION_CONTEXT
    greedy = resolve(SamplingParams(), {"do_sample": False}, vocabulary=100)
    assert greedy.temperature == 0

"""Completion requests, from the wire to the domain: one generation per prompt."""

from __future__ import annotations

from contracts.completions import DEFAULT_MAX_TOKENS, MAX_PROMPTS, CompletionRequest
from providers.chat.types import GenerationRequest, TextPrompt, TokenPrompt
from providers.errors import InvalidRequest
from server.api.generation.grammar import to_grammar
from server.api.generation.parameters import check_stream_options
from server.api.generation.sampling import to_max_tokens, to_sampling, to_stop
from server.api.refusals import check_parameters

__all__ = ["chooses", "to_generation_requests"]


def to_generation_requests(
    request: CompletionRequest, *, id: str, default_tokens: int | None = DEFAULT_MAX_TOKENS
) -> list[GenerationRequest]:
    """Translate a request. The contract has checked each of its values.

    `default_tokens`: the limit of an answer without `max_tokens`; None: the model's own default.

    Raises:
        InvalidRequest: values contradict each other, or prompts are texts and single token ids.
        UnsupportedParameter: a parameter has no effect, and the server has `--strict-parameters`.
    """
    check_parameters(request)
    check_stream_options(request)
    _check(request)
    form = to_grammar(request, request.response_format)
    grammar, grammar_param = form if form is not None else (None, "response_format")
    sampling, stop = to_sampling(request), to_stop(request.stop)
    return [
        GenerationRequest(
            id=id,
            prompt=prompt,
            sampling=sampling,
            max_tokens=default_tokens if request.max_tokens is None else to_max_tokens(request.max_tokens),
            stop=stop,
            timeout=request.timeout,
            n=request.best_of or request.n or 1,
            top_logprobs=0 if request.logprobs is None and chooses(request) else request.logprobs,
            prompt_logprobs=request.logprobs if request.echo else None,
            grammar=grammar,
            grammar_param=grammar_param,
            stream=bool(request.stream),
        )
        for prompt in _prompts(request)
    ]


def chooses(request: CompletionRequest) -> bool:
    """Whether only the best of the generated choices are returned."""
    return (request.best_of or 0) > (request.n or 1)


def _check(request: CompletionRequest) -> None:
    n = request.n or 1
    if request.best_of is not None and request.best_of < n:
        raise InvalidRequest(f"best_of is {request.best_of}; it must be at least n, which is {n}", param="best_of")
    if request.stream and chooses(request):
        raise InvalidRequest("best_of: more choices than n cannot be streamed", param="best_of")
    if request.max_tokens == 0 and not request.echo:
        message = "max_tokens: must be at least 1 without echo; -1 and leaving it out mean no limit"
        raise InvalidRequest(message, param="max_tokens")


def _prompts(request: CompletionRequest) -> list[TextPrompt | TokenPrompt]:
    given, suffix = request.prompt, request.suffix or ""
    if isinstance(given, str):
        return [TextPrompt(given, suffix)]
    if all(isinstance(token, int) for token in given):
        return [TokenPrompt([token for token in given if isinstance(token, int)], suffix)]
    if len(given) > MAX_PROMPTS:
        raise InvalidRequest(f"prompt: has {len(given)} prompts; at most {MAX_PROMPTS} are allowed", param="prompt")
    prompts: list[TextPrompt | TokenPrompt] = []
    for index, prompt in enumerate(given):
        if isinstance(prompt, int):
            path = f"prompt[{index}]"
            raise InvalidRequest(f"{path}: a single token id beside texts or lists; make it a list", param=path)
        prompts.append(TextPrompt(prompt, suffix) if isinstance(prompt, str) else TokenPrompt(prompt, suffix))
    return prompts

"""Completion requests, from the wire to the domain: one generation per prompt."""

from __future__ import annotations

from contracts.completions import DEFAULT_MAX_TOKENS, MAX_PROMPTS, CompletionRequest
from providers.chat.types import GenerationRequest, TextPrompt, TokenPrompt
from providers.errors import InvalidRequest
from server.api.generation.grammar import to_grammar
from server.api.generation.parameters import check_stream_options
from server.api.generation.sampling import to_max_tokens, to_sampling, to_stop
from server.api.generation.thinking import agreed
from server.api.refusals import check_parameters
from server.cache_scope import cache_salt

__all__ = ["chooses", "to_generation_requests", "top"]


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
    sampling, stop, limit, logprobs = to_sampling(request), to_stop(request.stop), _limit(request), top(request)
    return [
        GenerationRequest(
            id=id,
            prompt=prompt,
            sampling=sampling,
            max_tokens=default_tokens if limit is None else to_max_tokens(limit),
            stop=stop,
            timeout=request.timeout,
            n=request.best_of or request.n or 1,
            top_logprobs=0 if logprobs is None and chooses(request) else logprobs,
            prompt_logprobs=logprobs if request.echo else None,
            grammar=grammar,
            grammar_param=grammar_param,
            stream=bool(request.stream),
            cache_salt=cache_salt(request.cache_salt),
        )
        for prompt in _prompts(request)
    ]


def chooses(request: CompletionRequest) -> bool:
    """Whether only the best of the generated choices are returned."""
    return (request.best_of or 0) > (request.n or 1)


def top(request: CompletionRequest) -> int | None:
    """How many of the likeliest tokens to report; None: no log-probabilities."""
    if isinstance(request.logprobs, bool):
        return 0 if request.logprobs else None
    return request.logprobs


def _limit(request: CompletionRequest) -> int | None:
    """Raises: InvalidRequest, if its names differ."""
    return agreed({"max_tokens": request.max_tokens, "max_completion_tokens": request.max_completion_tokens})


def _check(request: CompletionRequest) -> None:
    n = request.n or 1
    if request.best_of is not None and request.best_of < n:
        raise InvalidRequest(f"best_of is {request.best_of}; it must be at least n, which is {n}", param="best_of")
    if request.stream and chooses(request):
        raise InvalidRequest("best_of: more choices than n cannot be streamed", param="best_of")
    if _limit(request) == 0 and not request.echo:
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

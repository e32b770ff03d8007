"""Completion requests, from the wire to the domain: one generation per prompt."""

from __future__ import annotations

from contracts.completions import DEFAULT_MAX_TOKENS, MAX_PROMPTS, CompletionRequest
from providers.chat.types import GenerationRequest, TextPrompt, TokenPrompt
from providers.errors import InvalidRequest, UnsupportedParameter
from server.api.generation.grammar import to_grammar
from server.api.generation.parameters import check_stream_options
from server.api.generation.sampling import to_max_tokens, to_sampling, to_stop
from server.api.refusals import check_parameters

__all__ = ["to_generation_requests"]


def to_generation_requests(
    request: CompletionRequest, *, id: str, default_tokens: int | None = DEFAULT_MAX_TOKENS
) -> list[GenerationRequest]:
    """Translate a request. The contract has checked each of its values.

    `default_tokens`: the limit of an answer without `max_tokens`; None: the model's own default.

    Raises:
        InvalidRequest: values contradict each other, or prompts have several kinds.
        UnsupportedParameter: the server cannot honour a parameter.
    """
    check_parameters(request)
    check_stream_options(request)
    n = request.n or 1
    if request.best_of is not None and request.best_of != n:
        raise UnsupportedParameter("best_of is not supported by this server unless it equals n", param="best_of")
    if request.echo and request.logprobs is not None:
        raise UnsupportedParameter("echo is not supported together with logprobs", param="echo")
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
            n=n,
            top_logprobs=request.logprobs,
            grammar=grammar,
            grammar_param=grammar_param,
            stream=bool(request.stream),
        )
        for prompt in _prompts(request)
    ]


def _prompts(request: CompletionRequest) -> list[TextPrompt | TokenPrompt]:
    given = request.prompt
    if isinstance(given, str):
        return [TextPrompt(given)]
    if all(isinstance(token, int) for token in given):
        return [TokenPrompt([token for token in given if isinstance(token, int)])]
    if len(given) > MAX_PROMPTS:
        raise InvalidRequest(f"prompt: has {len(given)} prompts; at most {MAX_PROMPTS} are allowed", param="prompt")
    prompts: list[TextPrompt | TokenPrompt] = []
    for index, prompt in enumerate(given):
        path = f"prompt[{index}]"
        if type(prompt) is not type(given[0]):
            raise InvalidRequest(f"{path}: prompts must be all texts or all lists of token ids", param=path)
        if isinstance(prompt, str):
            prompts.append(TextPrompt(prompt))
        elif isinstance(prompt, list):
            prompts.append(TokenPrompt(prompt))
    return prompts

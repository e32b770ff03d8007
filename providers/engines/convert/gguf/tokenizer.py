"""`tokenizer.json` and `tokenizer_config.json` from a GGUF file's metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from providers.engines.convert.gguf.errors import GGUFError

__all__ = ["build_tokenizer", "tokenizer_config"]

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6
_SPACE = "\u2581"

_TIKTOKEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_GPT2 = ("gpt-2", "phi-2", "olmo", "jina-en", "roberta-bpe", "exaone4", "default")
_SINGLE_DIGITS = ("smollm", "starcoder", "refact", "command-r", "codeshell")
_LLAMA3 = ("llama-bpe", "llama3", "llama-v3", "falcon3", "dbrx", "smaug-bpe")
_QWEN2 = ("qwen2", "deepseek-r1-qwen", "stablelm2", "megrez")


def build_tokenizer(meta: Mapping[str, Any]) -> Tokenizer:
    """A fast tokenizer equal to the one that the metadata describe.

    Raises:
        GGUFError: its model or its pre-tokenizer is unknown; a guess would silently degrade every output.
    """
    kind = meta.get("tokenizer.ggml.model")
    if "tokenizer.ggml.tokens" not in meta:
        raise GGUFError("the metadata hold no tokenizer")
    if kind == "gpt2":
        tokenizer = _byte_level(meta)
    elif kind == "llama":
        tokenizer = _sentencepiece(meta)
    else:
        raise GGUFError(f"a tokenizer of model {kind!r} is not supported (gpt2 and llama are)")
    _add_tokens(tokenizer, meta)
    _add_bos(tokenizer, meta, default=kind == "llama" or str(meta.get("tokenizer.ggml.pre")) in _LLAMA3)
    return tokenizer


def tokenizer_config(meta: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of transformers' generic fast tokenizer: special tokens and the chat template."""
    tokens = meta["tokenizer.ggml.tokens"]
    architecture = meta.get("general.architecture")
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": meta.get(f"{architecture}.context_length"),
        "chat_template": meta.get("tokenizer.chat_template"),
    }
    for ours, theirs in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"), ("unk", "unknown")):
        id = meta.get(f"tokenizer.ggml.{theirs}_token_id")
        if id is not None and 0 <= id < len(tokens):
            config[f"{ours}_token"] = tokens[id]
    return {key: value for key, value in config.items() if value is not None}


def _vocabulary(meta: Mapping[str, Any]) -> dict[str, int]:
    vocabulary: dict[str, int] = {}
    for id, token in enumerate(meta["tokenizer.ggml.tokens"]):
        vocabulary.setdefault(token, id)
    return vocabulary


def _byte_level(meta: Mapping[str, Any]) -> Tokenizer:
    pre = str(meta.get("tokenizer.ggml.pre", "default"))
    merges = [tuple(merge.split(" ", 1)) for merge in meta.get("tokenizer.ggml.merges", [])]
    model: Any = models.BPE(vocab=_vocabulary(meta), merges=merges, ignore_merges=pre in _LLAMA3)
    tokenizer = Tokenizer(model)
    if pre in _QWEN2:
        tokenizer.normalizer = normalizers.NFC()
        tokenizer.pre_tokenizer = _tiktoken_split("")
    elif pre in _LLAMA3:
        tokenizer.pre_tokenizer = _tiktoken_split("{1,3}")
    elif pre in _SINGLE_DIGITS:
        digits = pre_tokenizers.Digits(individual_digits=True)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, _gpt2_split()])
    elif pre in _GPT2:
        tokenizer.pre_tokenizer = _gpt2_split()
    else:
        raise GGUFError(f"a tokenizer with pre-tokenizer {pre!r} is not supported")
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _gpt2_split() -> Any:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def _tiktoken_split(digits: str) -> Any:
    split = pre_tokenizers.Split(Regex(_TIKTOKEN % digits), behavior="isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def _sentencepiece(meta: Mapping[str, Any]) -> Tokenizer:
    vocabulary = _vocabulary(meta)
    types = meta.get("tokenizer.ggml.token_type", [])
    unknown = meta.get("tokenizer.ggml.unknown_token_id")
    model: Any = models.BPE(
        vocab=vocabulary,
        merges=_merges(meta, vocabulary),
        unk_token=meta["tokenizer.ggml.tokens"][unknown] if unknown is not None else None,
        fuse_unk=True,
        byte_fallback=_BYTE in types,
    )
    tokenizer = Tokenizer(model)
    steps: list[Any] = [normalizers.Replace(" ", _SPACE)]
    decoding: list[Any] = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if meta.get("tokenizer.ggml.add_space_prefix", True):
        steps.insert(0, normalizers.Prepend(_SPACE))
        decoding.append(decoders.Strip(" ", 1, 0))
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.decoder = decoders.Sequence(decoding)
    return tokenizer


def _merges(meta: Mapping[str, Any], vocabulary: Mapping[str, int]) -> list[tuple[str, str]]:
    """The merges of a SentencePiece BPE vocabulary: every split of a piece into two pieces, best score first."""
    scores = meta.get("tokenizer.ggml.scores")
    if not scores:
        raise GGUFError("a SentencePiece tokenizer without scores is not supported")
    types = meta.get("tokenizer.ggml.token_type") or [_NORMAL] * len(scores)
    found: list[tuple[float, int, int, str, str]] = []
    for piece, id in vocabulary.items():
        if types[id] != _NORMAL:
            continue
        for cut in range(1, len(piece)):
            left, right = piece[:cut], piece[cut:]
            if left in vocabulary and right in vocabulary:
                found.append((-scores[id], vocabulary[left], vocabulary[right], left, right))
    found.sort()
    return [(left, right) for _, _, _, left, right in found]


def _add_tokens(tokenizer: Tokenizer, meta: Mapping[str, Any]) -> None:
    """Add control tokens as special tokens. Tokens that the model's authors added are matched first, as a whole."""
    types = meta.get("tokenizer.ggml.token_type", [])
    special, plain = [], []
    for token, kind in zip(meta["tokenizer.ggml.tokens"], types, strict=False):
        if kind in (_CONTROL, _UNKNOWN):
            special.append(AddedToken(token, special=True, normalized=False))
        elif kind == _USER_DEFINED and token:
            plain.append(AddedToken(token, special=False, normalized=False))
    tokenizer.add_special_tokens(special)
    tokenizer.add_tokens(plain)


def _add_bos(tokenizer: Tokenizer, meta: Mapping[str, Any], *, default: bool) -> None:
    id = meta.get("tokenizer.ggml.bos_token_id")
    if id is None or not meta.get("tokenizer.ggml.add_bos_token", default):
        return
    token = meta["tokenizer.ggml.tokens"][id]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[token, "$A"], pair=[token, "$A", token, "$B:1"], special_tokens=[(token, id)]
    )

"""The file of `--lexicon`: phonemes by word."""

from __future__ import annotations

from typing import Any

from providers.speech.phonemes import NotPhonemes, model_phonemes

__all__ = ["read_lexicon"]


def read_lexicon(text: str) -> dict[str, str]:
    """The words of a YAML or JSON mapping.

    Raises:
        ValueError: it is no such mapping, or a sound is wrong. The phrase names the line and the word.
    """
    import yaml  # imported here so that commands without a file start faster

    try:
        root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(f"must be YAML or JSON: {' '.join(str(error).split())}") from None
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise ValueError("must have words and their phonemes, like `Siobhan: ʃəvˈɔn`")
    words: dict[str, str] = {}
    for key, value in root.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode) or not isinstance(value, yaml.ScalarNode):
            raise ValueError(f"must have a word and its phonemes in line {line}")
        word = key.value.strip()
        if not word or word in words:
            raise ValueError(f"has {f'{word!r} twice' if word else 'an empty word'}, in line {line}")
        try:
            model_phonemes(value.value)
        except NotPhonemes as error:
            raise ValueError(f"has a wrong sound in line {line}: {word}: {error}") from None
        words[word] = value.value
    return words

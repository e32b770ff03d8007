"""Which voices a request means."""

import pytest

from providers.errors import InvalidRequest
from providers.speech import languages
from providers.speech.types import VoiceInfo
from providers.speech.voices import DEFAULT_VOICE, OPENAI_VOICES, resolve_voices

KNOWN = [
    VoiceInfo("am_michael", "en-US", "male", "Michael"),
    VoiceInfo("af_heart", "en-US", "female", "Heart"),
    VoiceInfo("jf_alpha", "ja-JP", "female", "Alpha", spoken=False),
]


def test_without_a_voice_the_default_or_the_first_is_used():
    assert resolve_voices([], KNOWN) == [(DEFAULT_VOICE, 1.0)]
    assert resolve_voices([], KNOWN[:1]) == [("am_michael", 1.0)]


def test_openai_s_names_are_aliases_in_either_case():
    assert resolve_voices([("cedar", 1.0)], KNOWN) == resolve_voices([("Cedar", 5.0)], KNOWN) == [("am_michael", 1.0)]


def test_the_model_s_own_name_comes_before_openai_s():
    own = [*KNOWN, VoiceInfo("cedar", "en-US", None, "Cedar")]
    assert resolve_voices([("cedar", 1.0)], own) == [("cedar", 1.0)]


def test_weights_are_relative_and_a_voice_counts_once():
    mixed = resolve_voices([("af_heart", 1.0), ("cedar", 1.0), ("marin", 2.0)], KNOWN)
    assert mixed == [("af_heart", 0.75), ("am_michael", 0.25)]


def test_the_refusal_of_an_unknown_voice_lists_the_known_ones():
    with pytest.raises(InvalidRequest) as caught:
        resolve_voices([("zork", 1.0)], KNOWN)
    assert caught.value.message == (
        "voice: there is no voice 'zork'; there are: af_heart, am_michael; also by OpenAI's names: cedar, marin"
    )


def test_a_long_name_is_not_repeated_whole():
    with pytest.raises(InvalidRequest) as caught:
        resolve_voices([("z" * 500, 1.0)], KNOWN)
    assert len(caught.value.message) < 250


def test_an_alias_whose_voice_the_model_lacks_is_unknown():
    with pytest.raises(InvalidRequest, match="'nova'"):
        resolve_voices([("nova", 1.0)], KNOWN)


def test_a_language_without_sounds_is_named():
    with pytest.raises(InvalidRequest, match=r"jf_alpha speaks ja-JP.*af_heart"):
        resolve_voices([("jf_alpha", 1.0)], KNOWN)


def test_a_language_without_sounds_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(languages.shutil, "which", lambda program: None)

    with pytest.raises(InvalidRequest, match=r"language: Spanish needs the program espeak-ng") as refused:
        resolve_voices([("af_heart", 1.0)], KNOWN, language="es")
    assert refused.value.param == "language"


def test_a_language_that_is_named_is_spoken_by_any_voice() -> None:
    assert resolve_voices([("jf_alpha", 1.0)], KNOWN, language="en") == [("jf_alpha", 1.0)]


def test_without_a_voice_a_voice_of_the_language_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(languages.shutil, "which", lambda program: program)
    known = [*KNOWN, VoiceInfo("ef_dora", "es-ES", "female", "Dora")]

    assert resolve_voices([], known, language="es-419") == [("ef_dora", 1.0)]
    assert resolve_voices([], known, language="fr-FR") == [(DEFAULT_VOICE, 1.0)]
    assert resolve_voices([], known, language="en-GB") == [(DEFAULT_VOICE, 1.0)]


def test_every_voice_of_the_official_sdk_has_one_of_ours():
    from openai.types.audio.speech_create_params import Voice

    named = {name for arm in Voice.__args__ for name in getattr(arm, "__args__", ())}
    assert named <= set(OPENAI_VOICES)
    assert len(named) >= 10

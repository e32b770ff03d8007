"""How clients name languages, and what is missing to speak them."""

from __future__ import annotations

import pytest

from providers.errors import InvalidRequest
from providers.extras import Extra
from providers.speech import languages
from providers.speech.languages import LANGUAGES, language_named, readable_languages, variant
from providers.speech.voices import VOICE_LANGUAGES


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *(("es", "es"), ("ES", "es"), ("es-ES", "es-ES"), ("es_MX", "es-419"), ("es-419", "es-419"), ("Spanish", "es")),
        *(("spa", "es"), ("e", "es"), ("español", "es"), ("fr-CA", "fr-FR"), ("French", "fr-FR"), ("fra", "fr-FR")),
        *(("pt", "pt"), ("pt-br", "pt-BR"), ("pt-PT", "pt-PT"), ("Brazilian Portuguese", "pt-BR"), ("por-BR", "pt-BR")),
        *(("en", "en"), ("en-AU", "en-GB"), ("en_US", "en-US"), ("british  english", "en-GB"), ("b", "en-GB")),
        *(("zh-Hans-CN", "zh-CN"), ("cmn", "zh-CN"), ("zh-TW", "zh-CN"), ("mandarin", "zh-CN"), ("中文", "zh-CN")),
        *(("ja", "ja-JP"), ("j", "ja-JP"), ("jp", "ja-JP"), ("hi", "hi-IN"), ("हिन्दी", "hi-IN"), ("it-CH", "it-IT")),
    ],
)
def test_a_language_is_known_by_many_names(name: str, meant: str) -> None:
    assert language_named(name) == meant


@pytest.mark.parametrize("name", ["de", "klingon", "yue", "", "x" * 500])
def test_a_language_that_no_voice_speaks_is_refused_with_those_that_are(name: str) -> None:
    with pytest.raises(InvalidRequest, match=r"language: cannot speak .*es-ES \(Spanish\)") as refused:
        language_named(name)

    assert refused.value.param == "language"


def test_the_voice_decides_what_the_request_leaves_open() -> None:
    assert variant(None, "it-IT") == "it-IT"
    assert variant("en", "en-GB") == "en-GB"
    assert variant("en", "fr-FR") == "en-US"
    assert variant("pt-PT", "pt-BR") == "pt-PT"
    assert variant("es", "en-US") == "es-ES"


def test_every_voice_speaks_a_language_of_the_table() -> None:
    assert set(VOICE_LANGUAGES.values()) <= set(LANGUAGES)


def test_what_is_missing_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(languages.shutil, "which", lambda program: None)
    monkeypatch.setattr(Extra, "missing", property(lambda extra: extra.modules))

    assert list(readable_languages()) == ["en-US", "en-GB"]
    assert LANGUAGES["es-ES"].missing == (
        "Spanish needs the program espeak-ng, which is not on the path: `apt install espeak-ng`, or on macOS "
        "`brew install espeak-ng`"
    )
    assert LANGUAGES["ja-JP"].missing == (
        "Japanese needs the extra `speech-ja`: `pip install 'mlx-openai-server-lab[speech-ja]'`"
    )

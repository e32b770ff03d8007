"""Error rate of each language: one server synthesizes ten sentences of it, another, with a Whisper of many languages,
transcribes them.

    python -m tests.measurements.round_trip_languages SPEECH_URL TRANSCRIPTION_URL [--language es …] [--voice NAME]

Words are compared, in Japanese and Chinese characters; punctuation and case are not. For these two, the sounds are
compared as well, as Whisper writes a word with other characters than the sentence.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import sys
import unicodedata
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import httpx
import jiwer
from num2words import num2words

SENTENCES: Mapping[str, tuple[str, ...]] = {
    "es": (
        "Buenos días, ¿cómo está usted hoy?",
        "Mi hermana trabaja en un hospital grande.",
        "Mañana vamos a la playa con los niños.",
        "El tren sale de la estación a las ocho.",
        "Me gusta leer libros antes de dormir.",
        "La comida está en la mesa de la cocina.",
        "Necesito comprar pan, leche y tres manzanas.",
        "Los estudiantes escuchan al profesor con atención.",
        "Hace mucho calor durante el verano.",
        "Gracias por su ayuda y hasta la próxima semana.",
    ),
    "fr": (
        "Bonjour, comment allez-vous aujourd'hui ?",
        "Ma sœur travaille dans un grand hôpital.",
        "Demain nous allons à la plage avec les enfants.",
        "Le train part de la gare à huit heures.",
        "J'aime lire un livre avant de dormir.",
        "Le repas est sur la table de la cuisine.",
        "Je dois acheter du pain, du lait et trois pommes.",
        "Les étudiants écoutent le professeur avec attention.",
        "Il fait très chaud pendant l'été.",
        "Merci pour votre aide et à la semaine prochaine.",
    ),
    "it": (
        "Buongiorno, come sta oggi?",
        "Mia sorella lavora in un grande ospedale.",
        "Domani andiamo al mare con i bambini.",
        "Il treno parte dalla stazione alle otto.",
        "Mi piace leggere un libro prima di dormire.",
        "Il pranzo è sul tavolo della cucina.",
        "Devo comprare il pane, il latte e tre mele.",
        "Gli studenti ascoltano il professore con attenzione.",
        "Fa molto caldo durante l'estate.",
        "Grazie per il vostro aiuto e alla prossima settimana.",
    ),
    "pt": (
        "Bom dia, como você está hoje?",
        "Minha irmã trabalha em um hospital grande.",
        "Amanhã nós vamos à praia com as crianças.",
        "O trem sai da estação às oito horas.",
        "Eu gosto de ler um livro antes de dormir.",
        "A comida está na mesa da cozinha.",
        "Preciso comprar pão, leite e três maçãs.",
        "Os alunos escutam o professor com atenção.",
        "Faz muito calor durante o verão.",
        "Obrigado pela sua ajuda e até a próxima semana.",
    ),
    "hi": (
        "नमस्ते, आप आज कैसे हैं?",
        "मेरी बहन एक बड़े अस्पताल में काम करती है।",
        "कल हम बच्चों के साथ बाज़ार जाएंगे।",
        "गाड़ी सुबह आठ बजे स्टेशन से चलती है।",
        "मुझे सोने से पहले किताब पढ़ना पसंद है।",
        "खाना रसोई की मेज़ पर रखा है।",
        "मुझे दूध, रोटी और तीन सेब चाहिए।",
        "बच्चे अपने शिक्षक की बात सुनते हैं।",
        "गर्मी में यहाँ बहुत धूप होती है।",
        "आपकी मदद के लिए बहुत धन्यवाद।",
    ),
    "ja": (
        "おはようございます。今日はお元気ですか。",
        "私の姉は大きな病院で働いています。",
        "明日は子供たちと海へ行きます。",
        "電車は八時に駅を出発します。",
        "寝る前に本を読むのが好きです。",
        "食事は台所のテーブルの上にあります。",
        "パンと牛乳を買わなければなりません。",
        "学生たちは先生の話をよく聞いています。",
        "日本の夏はとても暑いです。",
        "手伝ってくれて、ありがとうございます。",
    ),
    "zh": (
        "早上好，你今天怎么样？",
        "我的姐姐在一家大医院工作。",
        "明天我们和孩子们一起去海边。",
        "火车八点从车站出发。",
        "我喜欢在睡觉以前看书。",
        "晚饭在厨房的桌子上。",
        "我要买面包、牛奶和三个苹果。",
        "学生们认真地听老师讲课。",
        "夏天的时候天气非常热。",
        "谢谢你的帮助，我们下个星期见。",
    ),
}
VOICES = {
    **{"es": "ef_dora", "fr": "ff_siwis", "it": "if_sara", "pt": "pf_dora", "hi": "hf_alpha"},
    **{"ja": "jf_alpha", "zh": "zf_xiaobei"},
}
HINDI = {1: "एक", 2: "दो", 3: "तीन", 4: "चार", 5: "पाँच", 6: "छह", 7: "सात", 8: "आठ", 9: "नौ", 10: "दस"}
PROMPTS = {"zh": "以下是普通话的句子。"}
"""Whisper writes simplified characters after some."""
BY_CHARACTER = ("ja", "zh")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.measurements.round_trip_languages", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("speech", help="URL of a server with Kokoro")
    parser.add_argument("transcription", help="URL of a server with a Whisper of many languages")
    parser.add_argument("--language", action="append", choices=sorted(SENTENCES), help="default: all of them")
    parser.add_argument("--voice", help="default: a voice of the language")
    asked = parser.parse_args()
    for language in asked.language or SENTENCES:
        measure(asked.speech, asked.transcription, language, asked.voice or VOICES[language])


def measure(speech: str, transcription: str, language: str, voice: str) -> None:
    pairs: list[tuple[str, str]] = []
    for number, sentence in enumerate(SENTENCES[language], 1):
        print(f"\r{language} {voice}: {number}/{len(SENTENCES[language])}", end="", file=sys.stderr, flush=True)
        pairs.append((sentence, heard(speech, transcription, language, voice, sentence)))
    print("\r\033[K", end="", file=sys.stderr)
    written, got = ([plain(text, language) for text in texts] for texts in zip(*pairs, strict=True))
    unit = "characters" if language in BY_CHARACTER else "words"
    count = sum(len(text) if language in BY_CHARACTER else len(text.split()) for text in written)
    rate = jiwer.cer(written, got) if language in BY_CHARACTER else jiwer.wer(written, got)
    print(f"{language} {voice}: error rate {rate:.3f} over {count} {unit}", end="")
    if language in BY_CHARACTER:
        sounds = [[sounded(text, language) for text in texts] for texts in (written, got)]
        print(f", {jiwer.cer(*sounds):.3f} over {sum(map(len, sounds[0]))} sounds", end="")
    print(*(f"\n    {one!r} heard as {other!r}" for one, other in zip(written, got, strict=True) if one != other))


def heard(speech: str, transcription: str, language: str, voice: str, text: str) -> str:
    asked = {"model": "any", "voice": voice, "language": language, "input": text, "response_format": "wav"}
    said = httpx.post(f"{speech}/v1/audio/speech", json={**asked, "include_visemes": True}, timeout=300)
    audio = base64.b64decode(said.raise_for_status().json()["audio"])
    form = {"model": "any", "response_format": "json", "temperature": "0", "language": language}
    if prompt := PROMPTS.get(language):
        form["prompt"] = prompt
    address = f"{transcription}/v1/audio/transcriptions"
    answer = httpx.post(address, data=form, files={"file": ("a.wav", audio, "audio/wav")}, timeout=300)
    text = answer.raise_for_status().json()["text"]
    assert isinstance(text, str)
    return text


def plain(text: str, language: str) -> str:
    """The text in lower case with numbers in words, without punctuation; in Japanese and Chinese without blanks."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("’", "'").replace("œ", "oe")
    text = re.sub(r"\d+", lambda match: in_words(int(match[0]), language), text)
    marks = re.compile(r"[^\w\s\u0900-\u0963]|_")
    words = marks.sub(" " if language not in BY_CHARACTER else "", text).split()
    return ("" if language in BY_CHARACTER else " ").join(words)


def in_words(number: int, language: str) -> str:
    if language == "hi":  # which num2words lacks
        return HINDI.get(number, str(number))
    if language not in BY_CHARACTER:
        return str(num2words(number, lang={"pt": "pt_BR"}.get(language, language)))
    return "".join("零一二三四五六七八九"[int(digit)] for digit in str(number))


def sounded(text: str, language: str) -> str:
    """The phonemes of a text, by this project's own reader."""
    from providers.engines.speech.languages.readers import Readers
    from providers.speech.languages import language_named

    if "readers" not in _kept:
        config = files("providers.engines.convert").joinpath("kokoro_config.json").read_text(encoding="utf-8")
        _kept["readers"] = Readers(json.loads(config)["vocab"])
    read = _kept["readers"][language_named(language)]
    return "".join(chunk.phonemes for chunk in read(text)).replace(" ", "")


_kept: dict[str, Any] = {}


if __name__ == "__main__":
    main()

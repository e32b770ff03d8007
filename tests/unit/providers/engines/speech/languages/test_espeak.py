"""espeak-ng as another program: what is asked of it, what its answer becomes, and what happens when it fails."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.engines.speech.languages.alignment import divided
from providers.engines.speech.languages.espeak import EspeakLanguage
from providers.engines.speech.languages.espeak_alphabet import kokoro_phonemes
from providers.engines.speech.languages.espeak_program import EspeakProgram
from providers.errors import InternalError
from tests.unit.providers.engines.speech.languages.reading import left_out, phonemes, vocabulary, words

BORDER = "0 0 0 0 0 0 0"
ECHO = """
    for line in sys.stdin:
        print(line.strip().lower().translate(str.maketrans("0123456789,:'", "abcdefghijkkk")))
"""


def program(folder: Path, body: str) -> str:
    """An executable file that runs this Python with its arguments in `sys.argv`."""
    path = folder / "espeak-ng"
    lines = "\n".join(line[4:] for line in body.splitlines())
    path.write_text(f"#!{sys.executable}\nimport os, sys, time\n{lines}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def spanish(tmp_path: Path) -> EspeakLanguage:
    """Whose phonemes are the letters of the text, and a letter for each digit."""
    return EspeakLanguage(vocabulary(), EspeakProgram(program(tmp_path, ECHO)), voice="es", scripts=("LATIN",))


# ── the program ───────────────────────────────────────────────────────────────────────────────────────────────


def test_each_line_has_its_answer(tmp_path: Path) -> None:
    spoken = EspeakProgram(program(tmp_path, ECHO))

    assert spoken.ipa(["hola mundo", "", "adiós"], "es") == ["hola mundo", "", "adiós"]


def test_an_answer_of_several_lines_is_one(tmp_path: Path) -> None:
    spoken = EspeakProgram(program(tmp_path, "\n    print(sys.stdin.read().replace('b', '\\n'))"))

    assert spoken.ipa(["abc", "d"], "es") == ["a c", "d"]


def test_the_voice_is_an_argument_and_the_text_is_not(tmp_path: Path) -> None:
    arguments = tmp_path / "arguments"
    spoken = EspeakProgram(program(tmp_path, f"\n    open({str(arguments)!r}, 'w').write(repr(sys.argv[1:]))" + ECHO))

    spoken.ipa(["--version; rm -rf /"], "pt-br")

    assert arguments.read_text() == "['-q', '--ipa', '--tie=^', '-b', '1', '-v', 'pt-br']"


@pytest.mark.parametrize("statement", ["sys.exit(3)", "print('lost')", "os.kill(os.getpid(), 11)", "pass"])
def test_a_program_that_fails_is_an_error_that_says_no_more(tmp_path: Path, statement: str) -> None:
    with pytest.raises(InternalError, match="espeak-ng"):
        EspeakProgram(program(tmp_path, f"\n    {statement}")).ipa(["hola"], "es")


def test_a_program_that_hangs_is_killed(tmp_path: Path) -> None:
    hangs = program(tmp_path, "\n    time.sleep(60)")

    with pytest.raises(InternalError, match="did not answer within 1 s"):
        EspeakProgram(hangs, seconds=0.5).ipa(["hola"], "es")

    assert not [child for child in psutil.Process().children() if hangs in child.cmdline()]


def test_a_program_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InternalError, match="failed"):
        EspeakProgram(str(tmp_path / "nothing")).ipa(["hola"], "es")


# ── its alphabet ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("ipa", "read"),
    [
        ("ˈe^ʊɾo", "ˈeʊɾo"),
        ("t^ʃinko ve^ɪnte", "ʧinko vAnte"),
        ("ˈɛs^se d^zɛro la^ɪ a^ʊ", "ˈɛSe ʣɛro lI W"),
        ("le-z amˈi də- la-", "lez amˈi də la"),
        ("pˈãc mɛzˈɔ̃", "pˈa\u0303c mɛzˈɔ\u0303"),
        ("(^e^n)ˈapəl(^h^i) pʰˈoːn", "ˈapəl pʰˈoːn"),
        ("çˈa", "çˈa"),
    ],
)
def test_its_phonemes_are_written_in_kokoro_s_alphabet(ipa: str, read: str) -> None:
    assert kokoro_phonemes(ipa) == read
    assert set(read) <= {*vocabulary()}  # type: ignore[misc]


# ── words ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("clause", "words", "parts"),
    [
        ("la nˈiɲa", ["la", "nˈiɲa"], ["la", "nˈiɲa"]),
        ("lez amˈi", ["lˈe", "amˈi"], ["lez", "amˈi"]),
        ("dəlamɛzˈɔ", ["dˈə", "lˈa", "mɛzˈɔ"], ["də", "la", "mɛzˈɔ"]),
        ("dˈos mˈil uno", ["dˈos mˈil", "uno"], ["dˈos mˈil", "uno"]),
        ("vˈɛttʁwˈaz ˈɔm", ["vˈɛttʁwˈa", "ˈɔm"], ["vˈɛttʁwˈaz", "ˈɔm"]),
        ("kɔm sa", ["kˈɔm", "", "sˈa"], ["kɔm", "", "sa"]),
        ("", ["a", "b"], ["", ""]),
    ],
)
def test_the_phonemes_of_a_clause_are_divided_among_its_words(clause: str, words: list[str], parts: list[str]) -> None:
    assert divided(clause, words) == parts


SOUNDS = st.text("abˈ ", max_size=12)


@given(clause=SOUNDS, words=st.lists(SOUNDS, min_size=1, max_size=5))
def test_no_phoneme_is_lost_when_a_clause_is_divided(clause: str, words: list[str]) -> None:
    parts = divided(clause, words)

    assert len(parts) == len(words)
    assert "".join(parts).replace(" ", "") == clause.replace(" ", "")


# ── texts ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("¿Cuánto? $5.", [("Cuánto", "Cuánto"), ("5", "$5"), ("dólares", "$5")]),
        ("El Sr. López", [("El", "El"), ("señor", "Sr."), ("López", "López")]),
        ("-5 °C, 10:30", [("menos", "-"), ("5", "5"), ("grados", "°C"), ("Celsius", "°C"), ("10:30", "10:30")]),
        ("12 000 y 1.5", [("12000", "12 000"), ("y", "y"), ("1,5", "1.5")]),
        ("50% #1", [("50", "50"), ("por", "%"), ("ciento", "%"), ("número", "#"), ("1", "1")]),
        ("a&b", [("a", "a"), ("y", "&"), ("b", "b")]),
        ("90 km/h", [("90", "90"), ("kilómetros", "km/h"), ("por", "km/h"), ("hora", "km/h")]),
    ],
)
def test_signs_and_abbreviations_are_read_in_words(
    spanish: EspeakLanguage, written: str, said: list[tuple[str, str]]
) -> None:
    assert words(spanish, written) == said


def test_marks_stay_with_the_words_beside_them(spanish: EspeakLanguage) -> None:
    assert phonemes(spanish, "«si», (no)... ¿a? ¡E -- o!") == "“si”, (no)… a? e— o!"


def test_letters_of_other_scripts_are_left_out_and_named(spanish: EspeakLanguage) -> None:
    assert left_out(spanish, "Hola Привет, 你好 amigo 🙂") == ["Привет", "你好"]


def test_the_program_runs_once_for_a_paragraph(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    path = program(tmp_path, f"\n    open({str(runs)!r}, 'a').write('.')" + ECHO)
    reader = EspeakLanguage(vocabulary(), EspeakProgram(path), voice="fr-fr", scripts=("LATIN",))

    assert phonemes(reader, "un deux. Trois quatre ! Cinq, six.") == "un deux. trois quatre! cinq, six."
    assert runs.read_text() == "."


def test_phonemes_of_long_words_do_not_pile_up(spanish: EspeakLanguage, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    ipa = EspeakProgram.ipa

    def noted(self: EspeakProgram, lines: list[str], voice: str) -> list[str]:
        asked.extend(lines)
        return ipa(self, lines, voice)

    monkeypatch.setattr(EspeakProgram, "ipa", noted)
    long = [letter * 1_000_000 for letter in "abc"]
    for word in ("uno", "uno", *long, "uno"):
        spanish(word)
    assert asked == ["uno", *long, "uno"]

"""Katakana in Kokoro's alphabet, and Japanese numbers with their counters in katakana.

The symbols are those of the model's training: ɯ and ɨ are the two sounds of `u`, β is the `w`, ʔ the held consonant of
ッ, ɴ the final ン. Source of the sounds: "Help:IPA/Japanese".
"""

from __future__ import annotations

import re

from num2words import num2words

__all__ = ["COUNTERS", "as_katakana", "counted", "digits", "kana_phonemes", "number"]

_ROWS = {
    "アイウエオ": "a i ɯ e o",
    "カキクケコ": "ka kʲi kɯ ke ko",
    "ガギグゲゴ": "ɡa ɡʲi ɡɯ ɡe ɡo",
    "サシスセソ": "sa ɕi sɨ se so",
    "ザジズゼゾ": "ʣa ʥi zɨ ʣe ʣo",
    "タチツテト": "ta ʨi ʦɨ te to",
    "ダヂヅデド": "da ʥi zɨ de do",
    "ナニヌネノ": "na ɲi nɯ ne no",
    "ハヒフヘホ": "ha çi ɸɯ he ho",
    "バビブベボ": "ba bʲi bɯ be bo",
    "パピプペポ": "pa pʲi pɯ pe po",
    "マミムメモ": "ma mʲi mɯ me mo",
    "ヤユヨ": "ja jɯ jo",
    "ラリルレロ": "ɾa ɾʲi ɾɯ ɾe ɾo",
    "ワヰヱヲ": "βa i e o",
    "ヷヸヹヺ": "va vʲi ve vo",
    "ヴヵヶ": "vɯ ka ke",
    "ァィゥェォ": "a i ɯ e o",
    "ャュョヮ": "ja jɯ jo βa",
}
_GLIDES = {
    "キ": "kʲ",
    "ギ": "ɡʲ",
    "シ": "ɕ",
    "ジ": "ʥ",
    "チ": "ʨ",
    "ヂ": "ʥ",
    "ニ": "ɲ",
    "ヒ": "ç",
    "ビ": "bʲ",
    "ピ": "pʲ",
}
_GLIDES |= {"ミ": "mʲ", "リ": "ɾʲ", "テ": "tʲ", "デ": "dʲ", "フ": "ɸʲ", "ヴ": "bʲ"}
_PAIRS = {
    **{"イェ": "je", "ウィ": "βi", "ウェ": "βe", "ウォ": "βo", "キェ": "kʲe", "シェ": "ɕe", "ジェ": "ʥe", "チェ": "ʨe"},
    **{f"ク{small}": f"kᵝ{vowel}" for small, vowel in zip("ァィェォ", "aieo", strict=True)},
    **{f"グ{small}": f"ɡᵝ{vowel}" for small, vowel in zip("ァィェォ", "aieo", strict=True)},
    **{
        "ツァ": "ʦa",
        "ツィ": "ʦʲi",
        "ツェ": "ʦe",
        "ツォ": "ʦo",
        "ティ": "tʲi",
        "ディ": "dʲi",
        "トゥ": "tɯ",
        "ドゥ": "dɯ",
    },
    **{"ニェ": "ɲe", "ヒェ": "çe", "ファ": "ɸa", "フィ": "ɸʲi", "フェ": "ɸe", "フォ": "ɸo"},
    **{"ヴァ": "va", "ヴィ": "vʲi", "ヴェ": "ve", "ヴォ": "vo"},
}
_SOUNDS = {
    **{kana: sound for row, sounds in _ROWS.items() for kana, sound in zip(row, sounds.split(), strict=True)},
    **{
        f"{kana}{small}": f"{on}{vowel}"
        for kana, on in _GLIDES.items()
        for small, vowel in zip("ャュョ", "aɨo", strict=True)
    },
    **_PAIRS,
}
_SMALL = frozenset("ァィゥェォャュョヮ")


def kana_phonemes(katakana: str) -> str:
    """The phonemes of a word in katakana. Other characters are left out."""
    units: list[str] = []
    at = 0
    while at < len(katakana):
        pair = katakana[at : at + 2]
        if pair in _SOUNDS:
            units.append(_SOUNDS[pair])
            at += 1
        elif pair[1:] in _SMALL and pair[1:] and pair[0] in _SOUNDS and pair[0] not in _SMALL:
            units.append(_SOUNDS[pair[0]][:-1] + _SOUNDS[pair[1]])  # a pair that no word of Japanese has
            at += 1
        else:
            units.append({"ッ": "ʔ", "ン": "ン", "ー": "ː"}.get(pair[0], _SOUNDS.get(pair[0], "")))
        at += 1
    return "".join(_nasal("".join(units[number + 1 :])) if unit == "ン" else unit for number, unit in enumerate(units))


def _nasal(following: str) -> str:
    """The sound of ン before these phonemes."""
    for nasal, sounds in (("m", "mpb"), ("ŋ", "kɡ"), ("ɲ", "ɲʨʥ"), ("n", "ntdɾz")):
        if following[:1] and following[0] in sounds:
            return nasal
    return "ɴ"


def as_katakana(hiragana: str) -> str:
    """Hiragana as katakana; all other characters stay."""
    return "".join(chr(ord(kana) + 0x60) if "ぁ" <= kana <= "ゖ" else kana for kana in hiragana)


def digits(text: str) -> str:
    """The digits of a number, one by one."""
    names = ("ゼロ", "イチ", "ニ", "サン", "ヨン", "ゴ", "ロク", "ナナ", "ハチ", "キュー")
    return "".join("テン" if digit == "." else names[int(digit)] for digit in text if digit.isdecimal() or digit == ".")


def number(text: str) -> str:
    """A number in digits, with or without a fraction and with commas between thousands, in katakana."""
    plain = text.replace(",", "")
    if len(plain.partition(".")[0]) > 16:
        return digits(plain)
    read = as_katakana(num2words(plain if "." in plain else int(plain), lang="ja", reading=True))
    return re.sub(r"(?<=[ュョ])ウ", "ー", read)


# How counters are read, and how they change the numbers before them.
_ONCE = {
    "月": {4: "シガツ", 7: "シチガツ", 9: "クガツ"},
    "時": {4: "ヨジ", 7: "シチジ", 9: "クジ"},
    "時間": {4: "ヨジカン", 7: "シチジカン", 9: "クジカン"},
    "年": {4: "ヨネン", 7: "ナナネン"},
    "年間": {4: "ヨネンカン"},
    "円": {4: "ヨエン"},
    "人": {4: "ヨニン"},
}
"""By the last digit."""
_DAYS = dict(
    zip(
        range(1, 11),
        ["ツイタチ", "フツカ", "ミッカ", "ヨッカ", "イツカ", "ムイカ", "ナノカ", "ヨーカ", "ココノカ", "トーカ"],
        strict=True,
    )
)
_WHOLE = {
    "日": {**_DAYS, 14: "ジューヨッカ", 20: "ハツカ", 24: "ニジューヨッカ"},
    "人": {1: "ヒトリ", 2: "フタリ"},
    "つ": dict(
        zip(
            range(1, 10),
            ["ヒトツ", "フタツ", "ミッツ", "ヨッツ", "イツツ", "ムッツ", "ナナツ", "ヤッツ", "ココノツ"],
            strict=True,
        )
    ),
    "歳": {20: "ハタチ"},
    "才": {20: "ハタチ"},
}
"""By the whole number."""
COUNTERS = {
    # Those in h change after 1, 3, 6, 8 and 10; those in k after 1, 6, 8 and 10; those in s and t after 1, 8 and 10.
    **{"本": "ホン", "匹": "ヒキ", "杯": "ハイ", "分": "フン", "分間": "フンカン", "泊": "ハク", "票": "ヒョー"},
    **{"個": "コ", "回": "カイ", "階": "カイ", "件": "ケン", "曲": "キョク", "か月": "カゲツ", "ヶ月": "カゲツ"},
    **{"カ月": "カゲツ", "か国": "カコク", "キロ": "キロ", "km": "キロ", "kg": "キロ"},
    **{"歳": "サイ", "才": "サイ", "冊": "サツ", "週間": "シューカン", "足": "ソク", "世紀": "セーキ", "cm": "センチ"},
    **{"点": "テン", "着": "チャク", "頭": "トー", "通": "ツー", "トン": "トン"},
    **{"年": "ネン", "年間": "ネンカン", "月": "ガツ", "日": "ニチ", "日間": "ニチカン", "時": "ジ", "時間": "ジカン"},
    **{"秒": "ビョー", "円": "エン", "人": "ニン", "名": "メー", "枚": "マイ", "台": "ダイ", "度": "ド", "番": "バン"},
    **{
        "番目": "バンメ",
        "位": "イ",
        "倍": "バイ",
        "割": "ワリ",
        "つ": "ツ",
        "号": "ゴー",
        "%": "パーセント",
        "m": "メートル",
    },
    **{"℃": "ド", "ドル": "ドル", "ユーロ": "ユーロ", "ポンド": "ポンド"},
}
_VOICED = {"本": "ボン", "匹": "ビキ", "杯": "バイ", "泊": "パク", "票": "ビョー", "階": "ガイ", "足": "ゾク"}
"""After 3."""
_HARD = dict(zip("ハヒフホ", "パピプポ", strict=True))
_SHORT = {1: ("イチ", "イッ"), 6: ("ロク", "ロッ"), 8: ("ハチ", "ハッ"), 10: ("ジュー", "ジュッ")}
_CHANGES = {"ハヒフホ": (1, 6, 8, 10), "カキケコ": (1, 6, 8, 10), "サシセソタチツテト": (1, 8, 10)}


def counted(text: str, counter: str) -> str:
    """A number and its counter, one of `COUNTERS`, in katakana."""
    whole = int(text.replace(",", "")) if "." not in text and len(text) < 17 else None
    if whole is None:
        return number(text) + COUNTERS[counter]
    if found := _WHOLE.get(counter, {}).get(whole):
        return found
    last = whole % 10 or (10 if whole % 100 else 100)
    if found := _ONCE.get(counter, {}).get(last):
        tens = number(str(whole - last)) if whole > last else ""
        return tens + found
    return _joined(number(str(whole)), COUNTERS[counter], counter, last)


def _joined(read: str, said: str, counter: str, last: int) -> str:
    if last == 3 and counter in _VOICED:
        return read + _VOICED[counter]
    if counter in ("分", "分間") and last in (3, 4):
        return read + said.replace("フ", "プ", 1)
    if counter in ("℃", "m", "ドル", "トン", "キロ", "km", "kg"):
        return read + said
    changes = next((lasts for starts, lasts in _CHANGES.items() if said[0] in starts), ())
    full, short = _SHORT.get(last, ("", ""))
    if last in changes and read.endswith(full):
        read = read.removesuffix(full) + short
        said = _HARD.get(said[0], said[0]) + said[1:]
    return read + said

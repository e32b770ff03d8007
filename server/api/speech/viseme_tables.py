"""The shapes of the mouth for every sound in Kokoro's alphabet. Pure data.

A cell names one shape or two. The first of two is held for `FIRST_SHARE` of the sound: these are diphthongs, and
affricates where a set distinguishes their halves. The alphabet is misaki's (hexgrad/misaki, EN_PHONES.md): capital
letters are its diphthongs, `T` is the flap of "butter", `ᵊ` and `ᵻ` are reduced vowels. Sounds that English lacks have
the shape of the nearest sound that the set describes.

Sources
    oculus   Meta, "Viseme Reference" of Oculus Lipsync: 15 shapes with their phonemes (t, d are DD; tS, dZ, S are CH;
             n, l are nn), in the order of the plugin's enumeration. It has none for `h`, which gets the open back of
             the mouth, `kk`; schwa is `E`.
    azure    Microsoft, "Get facial position with viseme" (IDs 0 to 21) and "SSML phonetic alphabets" for en-US and
             en-GB, which give eɪ as 4 and 6, oʊ as 8 and 4, əʊ as 1 and 4, tʃ as 19 and 16.
    rhubarb  Daniel Wolf, README ("Mouth shapes") and animation rules of Rhubarb Lip Sync: the six shapes of
             Hanna-Barbera, A to F, and its extended G, H and X. Where a rule allows several shapes, the first is taken;
             where the shape depends on the length, that of the long sound.
    arkit    Apple, "ARFaceAnchor.BlendShapeLocation". No table of Apple's maps sounds to weights: these are ours, one
             mix for each shape of the `oculus` set, made from what each location moves.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "ARKIT",
    "FIRST_SHARE",
    "MARKS",
    "OCULUS_NAMES",
    "PHONEMES",
    "RHUBARB_NAMES",
    "SILENCE",
]

FIRST_SHARE = 0.6
"""Rhubarb's timing of diphthongs."""

OCULUS_NAMES = ("sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "I", "O", "U")
RHUBARB_NAMES = ("X", "A", "B", "C", "D", "E", "F", "G", "H")

Row = tuple[str, str, str]
"""Shapes of the sets `oculus`, `azure` and `rhubarb`."""

SILENCE: Row = ("sil", "0", "X")

MARKS = frozenset("ˈˌːʰʲᵝ\u0303↓→↗↘")
"""Stress, length, aspiration, palatalisation, compression, nasalisation and tones: they do not change a shape."""


def _rows(table: Mapping[str, Row]) -> Mapping[str, Row]:
    """Each phoneme of each key, with its row."""
    return {phoneme: row for phonemes, row in table.items() for phoneme in phonemes}


PHONEMES: Mapping[str, Row] = _rows(
    {
        # Consonants, from the lips to the throat.
        "pbm": ("PP", "21", "A"),
        "fvʋɸβ": ("FF", "18", "G"),
        "θ": ("TH", "19", "B"),
        "ð": ("TH", "17", "B"),
        "tdʈɖɾT": ("DD", "19", "B"),
        "szʦʣS": ("SS", "15", "B"),
        "ʃʒɕʂ": ("CH", "16", "B"),
        "ʧʤʨʥꭧ": ("CH", "19 16", "B"),
        "nɳɲ": ("nn", "19", "B"),
        "ŋɴ": ("nn", "20", "B"),
        "lʎ": ("nn", "14", "H"),
        "ɹrɻɽʁ": ("RR", "13", "B"),
        "kɡcɟqxχɣʔ": ("kk", "20", "B"),
        "hçʝ": ("kk", "12", "C"),
        "j": ("I", "6", "B"),
        "wɥɰ": ("U", "7", "F"),
        # Vowels, from spread to rounded.
        "iɪᵻɨ": ("I", "6", "B"),
        "eɛ": ("E", "4", "C"),
        "əᵊɤ": ("E", "1", "C"),
        "ɜ": ("E", "5", "E"),
        "ɚ": ("RR", "1", "E"),
        "æɐʌ": ("aa", "1", "C"),
        "aɑ": ("aa", "2", "D"),
        "ɒ": ("O", "2", "E"),
        "ɔœ": ("O", "3", "E"),
        "oø": ("O", "8", "E"),
        "ʊ": ("U", "4", "F"),
        "uɯy": ("U", "7", "F"),
        # Diphthongs: eɪ, aɪ, aʊ, ɔɪ, oʊ, əʊ.
        "A": ("E I", "4 6", "C B"),
        "I": ("aa I", "11", "D B"),
        "W": ("aa U", "9", "D E"),
        "Y": ("O I", "10", "E B"),
        "O": ("O U", "8 4", "E F"),
        "Q": ("E U", "1 4", "E F"),
    }
)


def _both(**weights: float) -> dict[str, float]:
    """The same weights for the left and the right side."""
    return {f"{name}{side}": weight for name, weight in weights.items() for side in ("Left", "Right")}


ARKIT: Mapping[str, Mapping[str, float]] = {
    "sil": {},
    "PP": {"mouthRollLower": 0.4, "mouthRollUpper": 0.3, **_both(mouthPress=0.6)},
    "FF": {"jawOpen": 0.05, "mouthRollLower": 0.6, **_both(mouthUpperUp=0.3)},
    "TH": {"jawOpen": 0.2, "tongueOut": 0.4, **_both(mouthLowerDown=0.1)},
    "DD": {"jawOpen": 0.15, **_both(mouthLowerDown=0.2, mouthUpperUp=0.1)},
    "kk": {"jawOpen": 0.25, **_both(mouthLowerDown=0.2, mouthStretch=0.1)},
    "CH": {"jawOpen": 0.1, "mouthFunnel": 0.5, "mouthPucker": 0.2},
    "SS": {"jawOpen": 0.05, **_both(mouthStretch=0.3, mouthLowerDown=0.2, mouthUpperUp=0.1)},
    "nn": {"jawOpen": 0.15, **_both(mouthLowerDown=0.2)},
    "RR": {"jawOpen": 0.15, "mouthFunnel": 0.3, "mouthPucker": 0.3},
    "aa": {"jawOpen": 0.6, **_both(mouthLowerDown=0.3, mouthUpperUp=0.1)},
    "E": {"jawOpen": 0.35, **_both(mouthStretch=0.3, mouthSmile=0.2)},
    "I": {"jawOpen": 0.2, **_both(mouthSmile=0.4, mouthStretch=0.3)},
    "O": {"jawOpen": 0.4, "mouthFunnel": 0.6},
    "U": {"jawOpen": 0.15, "mouthFunnel": 0.3, "mouthPucker": 0.7},
}

"""What espeak reads badly or not at all, in words: signs, money, negative numbers and abbreviations by language."""

from __future__ import annotations

import re
from collections.abc import Mapping

from providers.engines.speech.languages.plain import Rule

__all__ = ["rules"]

_LANGUAGES = ("es", "fr", "it", "pt", "hi")
_SIGNS = {
    "$": "dólares dollars dollari dólares डॉलर",
    "€": "euros euros euro euros यूरो",
    "£": "libras livres sterline libras पाउंड",
    "¥": "yenes yens yen ienes येन",
    "₹": "rupias roupies rupie rupias रुपये",
    "%": "por_ciento pour_cent per_cento por_cento प्रतिशत",
    "+": "más plus più mais प्लस",
    "/": "_ _ _ _ _",
    "&": "y et e e और",
    "@": "arroba arobase chiocciola arroba ऐट",
    "=": "igual_a égale uguale_a igual_a बराबर",
    "#": "número numéro numero número नंबर",
    "×": "por fois per vezes गुणा",
    "÷": "entre divisé_par diviso dividido_por भाग",
    "<": "menor_que inférieur_à minore_di menor_que से_कम",
    ">": "mayor_que supérieur_à maggiore_di maior_que से_अधिक",
    "≤": "menor_o_igual_que inférieur_ou_égal_à minore_o_uguale_a menor_ou_igual_a से_कम_या_बराबर",
    "≥": "mayor_o_igual_que supérieur_ou_égal_à maggiore_o_uguale_a maior_ou_igual_a से_अधिक_या_बराबर",
    "~": "aproximadamente environ circa cerca_de लगभग",
    "≈": "aproximadamente environ circa cerca_de लगभग",
    "±": "más_menos plus_ou_moins più_o_meno mais_ou_menos प्लस_माइनस",
    "½": "un_medio un_demi un_mezzo meio आधा",
    "°": "grados degrés gradi graus डिग्री",
}
_REAIS = re.compile(r"R\$ ?(\d(?:[\d.,]*\d)?)")
_UNITS = {
    "km/h": "kilómetros_por_hora kilomètres_par_heure chilometri_all'ora quilômetros_por_hora किलोमीटर_प्रति_घंटा",
    "kg": "kilos kilos chili quilos किलोग्राम",
    "km": "kilómetros kilomètres chilometri quilômetros किलोमीटर",
    "cm": "centímetros centimètres centimetri centímetros सेंटीमीटर",
    "m": "metros mètres metri metros मीटर",
    "g": "gramos grammes grammi gramas ग्राम",
    "h": "horas heures ore horas घंटे",
    "min": "minutos minutes minuti minutos मिनट",
}
"""After a number."""
_MINUS = "menos moins meno menos माइनस"
_CELSIUS = "grados_Celsius degrés_Celsius gradi_Celsius graus_Celsius डिग्री_सेल्सियस"
_MONEY = "$€£¥₹"
_ABBREVIATIONS: Mapping[str, Mapping[str, str]] = {
    "es": {
        **{"Sr.": "señor", "Sra.": "señora", "Srta.": "señorita", "Dr.": "doctor", "Dra.": "doctora", "Ud.": "usted"},
        **{"Uds.": "ustedes", "D.": "don", "Dña.": "doña", "p. ej.": "por ejemplo", "p.ej.": "por ejemplo"},
        **{"EE. UU.": "Estados Unidos", "EE.UU.": "Estados Unidos", "núm.": "número", "pág.": "página"},
    },
    "fr": {
        **{"M.": "monsieur", "MM.": "messieurs", "Mme": "madame", "Mlle": "mademoiselle", "Dr": "docteur"},
        **{"p. ex.": "par exemple", "c.-à-d.": "c'est-à-dire", "n°": "numéro", "av.": "avant"},
    },
    "it": {
        **{"Sig.": "signor", "Sig.ra": "signora", "Dott.": "dottor", "Dott.ssa": "dottoressa", "Prof.": "professor"},
        **{"p. es.": "per esempio", "pag.": "pagina", "Ing.": "ingegner", "Avv.": "avvocato"},
    },
    "pt": {
        **{"Sr.": "senhor", "Sra.": "senhora", "Dr.": "doutor", "Dra.": "doutora", "Prof.": "professor"},
        **{"Profa.": "professora", "p. ex.": "por exemplo", "pág.": "página", "nº": "número"},
    },
    "hi": {"डॉ.": "डॉक्टर", "श्री.": "श्री"},
}
_FINAL: Mapping[str, Mapping[str, str]] = {
    "es": {"etc.": "etcétera"},
    "fr": {"etc.": "et cetera"},
    "it": {"ecc.": "eccetera"},
    "pt": {"etc.": "etcétera"},
    "hi": {},
}
"""Abbreviations whose full stop may also end the sentence."""
_NUMBER = r"\d(?:[\d.,]*\d)?"


def rules(language: str) -> tuple[Rule, ...]:
    """The replacements of a language (its first subtag), in order. They apply to a text that may have several lines."""
    place = _LANGUAGES.index(language)

    def column(row: str) -> str:
        return row.split(" ")[place].replace("_", " ")

    signs = {sign: column(row) for sign, row in _SIGNS.items()}
    units = {unit: column(row) for unit, row in _UNITS.items()}
    minus, celsius = column(_MINUS), column(_CELSIUS)
    short, final = _ABBREVIATIONS[language], _FINAL[language]
    found: list[Rule] = [
        (_abbreviation(short), lambda match: short[match[0]]),
        (re.compile(rf"(?<![\d.,])[-−](?={_NUMBER})(?<![^\W_][-−])"), lambda _: f"{minus} "),
        (re.compile(rf"([{_MONEY}]) ?({_NUMBER})"), lambda match: f"{match[2]} {signs[match[1]]}"),
        (re.compile(r" ?° ?C\b"), lambda _: f" {celsius}"),
        (re.compile(rf"(?<=\d) ?({'|'.join(units)})(?![\w/])"), lambda match: f" {units[match[1]]}"),
        *_decimals(language),
        (re.compile(rf"[{re.escape(''.join(signs))}]"), lambda match: f" {signs[match[0]]} "),
    ]
    if language == "pt":
        found.insert(0, (_REAIS, lambda match: f"{match[1]} reais"))
    if final:
        found.insert(0, (_abbreviation(final), lambda match: _at_end(match, final[match[0]])))
    return tuple(found)


def _abbreviation(short: Mapping[str, str]) -> re.Pattern[str]:
    return re.compile(
        r"(?<![\w.])(?:" + "|".join(re.escape(each) for each in sorted(short, key=len, reverse=True)) + r")(?!\w)"
    )


def _at_end(match: re.Match[str], word: str) -> str:
    """The word, with the full stop if the sentence ends there."""
    return f"{word}." if re.match(r"\s*(?:$|\n)|\s+[^\W\d_a-zà-ÿ]", match.string[match.end() :]) else word


def _decimals(language: str) -> list[Rule]:
    """Marks within numbers as espeak takes them: it reads a decimal comma, in Hindi a decimal point."""
    if language == "hi":
        return [(re.compile(r"(?<=\d),(?=\d{2,3}\b)"), lambda _: "")]
    point = re.compile(r"(?<![\d.,])(\d+)\.(\d{1,2}|\d{4,})(?![\d.,]*\d)")
    return [
        (re.compile(r"(?<![\d.,])\d{1,3}(?: \d{3})+(?![.,]?\d)"), lambda match: match[0].replace(" ", "")),
        (re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3}){2,}(?![\d.,]*\d)"), lambda match: match[0].replace(",", "")),
        (point, lambda match: f"{match[1]},{match[2]}"),
    ]

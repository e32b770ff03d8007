"""Numbers in words: money, dates, times, units, ranges, fractions, ordinals, years, telephone numbers, versions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from num2words import num2words

from providers.engines.speech.text.mapped import Mapped

__all__ = ["MONTHS", "to_words"]

Match = re.Match[str]

MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_MONTH = "|".join(
    sorted((*MONTHS, *(f"{month[:3]}\\.?" for month in MONTHS if month != "May"), "Sept\\.?"), key=len)[::-1]
)

_CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "US$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "", ""),
    "₹": ("rupee", "rupees", "paisa", "paise"),
}
_SCALES = {"k": "thousand", "m": "million", "mn": "million", "bn": "billion", "b": "billion", "tn": "trillion"}
_SCALES |= {"t": "trillion"}

_UNITS = {
    "km/h": ("kilometer per hour", "kilometers per hour"),
    "kph": ("kilometer per hour", "kilometers per hour"),
    "mph": ("mile per hour", "miles per hour"),
    "m/s": ("meter per second", "meters per second"),
    "km²": ("square kilometer", "square kilometers"),
    "m²": ("square meter", "square meters"),
    "m³": ("cubic meter", "cubic meters"),
    "km": ("kilometer", "kilometers"),
    "cm": ("centimeter", "centimeters"),
    "mm": ("millimeter", "millimeters"),
    "nm": ("nanometer", "nanometers"),
    "µm": ("micrometer", "micrometers"),
    "kg": ("kilogram", "kilograms"),
    "mg": ("milligram", "milligrams"),
    "ml": ("milliliter", "milliliters"),
    "lb": ("pound", "pounds"),
    "lbs": ("pound", "pounds"),
    "oz": ("ounce", "ounces"),
    "ft": ("foot", "feet"),
    "mi": ("mile", "miles"),
    "°C": ("degree Celsius", "degrees Celsius"),
    "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "°": ("degree", "degrees"),
    "kHz": ("kilohertz", "kilohertz"),
    "MHz": ("megahertz", "megahertz"),
    "GHz": ("gigahertz", "gigahertz"),
    "Hz": ("hertz", "hertz"),
    "kB": ("kilobyte", "kilobytes"),
    "KB": ("kilobyte", "kilobytes"),
    "MB": ("megabyte", "megabytes"),
    "GB": ("gigabyte", "gigabytes"),
    "TB": ("terabyte", "terabytes"),
    "kW": ("kilowatt", "kilowatts"),
    "MW": ("megawatt", "megawatts"),
    "GW": ("gigawatt", "gigawatts"),
    "kWh": ("kilowatt hour", "kilowatt hours"),
    "ms": ("millisecond", "milliseconds"),
    "µs": ("microsecond", "microseconds"),
    "ns": ("nanosecond", "nanoseconds"),
    "min": ("minute", "minutes"),
    "hrs": ("hour", "hours"),
    "hr": ("hour", "hours"),
    "sec": ("second", "seconds"),
    "s": ("second", "seconds"),
    "h": ("hour", "hours"),
    "m": ("meter", "meters"),
    "g": ("gram", "grams"),
    "l": ("liter", "liters"),
    "W": ("watt", "watts"),
    "V": ("volt", "volts"),
    "%": ("percent", "percent"),
}
_UNIT = "|".join(re.escape(unit) for unit in sorted(_UNITS, key=len, reverse=True))

_FRACTIONS = {
    "½": "1/2",
    "⅓": "1/3",
    "⅔": "2/3",
    "¼": "1/4",
    "¾": "3/4",
    "⅛": "1/8",
    "⅜": "3/8",
    "⅝": "5/8",
    "⅞": "7/8",
}

_FRACTION_AFTER = re.compile(rf"(?<=\d)[{''.join(_FRACTIONS)}]")
_OTHER = re.compile(r"[^\x00-\x7f]")

_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+"
_NOT_INSIDE = r"(?<![\w.,/])"
_ENDS = r"(?![\w]|[.,/:]\d)"
_LONGEST = 15
"""Digits. Longer numbers are read digit by digit."""


def to_words(text: Mapped, *, british: bool) -> Mapped:
    """The text with every digit in words."""
    text = text.sub(_FRACTION_AFTER, lambda match: f" and {_FRACTIONS[match[0]]}")
    text = text.sub(_OTHER, lambda match: _ascii_digits(match[0]))
    for pattern, spoken in _BRITISH_RULES if british else _RULES:
        text = text.sub(pattern, spoken)
    return text


def _ascii_digits(character: str) -> str:
    """The value of a digit of another script, of a fraction, or of a number in a circle, a bracket or the like."""
    if character.isdecimal():
        return str(int(character))
    if character in _FRACTIONS:
        return _FRACTIONS[character]
    if unicodedata.category(character) not in ("No", "Nl") or character in "²³":
        return character
    plain = unicodedata.normalize("NFKC", character).replace("\u2044", "/")
    if not plain.isascii():
        return character
    return f" to the power of {plain} " if "SUPERSCRIPT" in unicodedata.name(character, "") else f" {plain} "


def _cardinal(number: str) -> str:
    """`1,234.50` → "one thousand, two hundred and thirty-four point five zero"."""
    whole, _, fraction = number.replace(",", "").partition(".")
    if len(whole) > _LONGEST or (len(whole) > 1 and whole[0] == "0"):
        spoken = _digits(whole)
    else:
        spoken = num2words(int(whole or 0)).replace(",", "")
    return f"{spoken} point {_digits(fraction)}" if fraction else spoken


def _ordinal(number: int) -> str:
    return str(num2words(number, to="ordinal")).replace(",", "")


def _digits(number: str) -> str:
    return " ".join(num2words(int(digit)) for digit in number if digit.isdigit())


def _year(year: int) -> str:
    return str(num2words(year, to="year")).replace(",", "") if 1100 <= year <= 2099 else _cardinal(str(year))


def _spoken(*words: str) -> str:
    return f" {' '.join(word for word in words if word)} "


def _date(year: str, month: int, day: int, *, british: bool) -> str | None:
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    name, read = MONTHS[month - 1], f", {_year(int(year))}" if year else ""
    return f" the {_ordinal(day)} of {name}{read} " if british else f" {name} {_ordinal(day)}{read} "


def _iso_date(british: bool) -> Callable[[Match], str]:
    return lambda match: _date(match[1], int(match[2]), int(match[3]), british=british) or match[0]


def _slash_date(british: bool) -> Callable[[Match], str]:
    def spoken(match: Match) -> str:
        first, second = int(match[1]), int(match[2])
        month, day = (second, first) if british or first > 12 else (first, second)
        return _date(match[3], month, day, british=british) or match[0]

    return spoken


def _month(name: str) -> int:
    return next(number for number, month in enumerate(MONTHS, 1) if month.startswith(name[:3]))


def _month_day(british: bool) -> Callable[[Match], str]:
    def spoken(match: Match) -> str:
        return (_date(match[3] or "", _month(match[1]), int(match[2]), british=british) or match[0]).rstrip()

    return spoken


def _day_month(british: bool) -> Callable[[Match], str]:
    def spoken(match: Match) -> str:
        return (_date(match[3] or "", _month(match[2]), int(match[1]), british=True) or match[0]).rstrip()

    return spoken


def _time(match: Match) -> str:
    hour, minute, second, half = int(match[1]), match[2], match[3], match[4]
    if hour > 24 or int(minute or 0) > 59:
        return match[0]
    words = [_cardinal(str(hour))]
    if minute and int(minute):
        words.append(f"oh {_cardinal(str(int(minute)))}" if int(minute) < 10 else _cardinal(minute))
    elif minute and not half:
        words.append("o'clock" if 0 < hour <= 12 else "hundred hours")
    if second:
        words.append(f"and {_cardinal(str(int(second)))} seconds")
    if half:
        words.append("a.m." if half[0] in "aA" else "p.m.")
    return _spoken(*words)


def _money(match: Match) -> str:
    sign, amount, scale = match["sign"] or match["after"], match["amount"], match["scale"]
    one, many, small_one, small_many = _CURRENCIES[sign]
    if scale:
        return _spoken(_cardinal(amount), _SCALES.get(scale.strip().lower(), scale.strip().lower()), many)
    whole, _, cents = amount.replace(",", "").partition(".")
    if cents and (len(cents) != 2 or not small_one):
        return _spoken(_cardinal(amount), many)
    spoken = [_cardinal(whole), one if int(whole) == 1 else many] if int(whole) or not int(cents or 0) else []
    if cents and int(cents):
        spoken += ["and"] if spoken else []
        spoken += [_cardinal(str(int(cents))), small_one if int(cents) == 1 else small_many]
    return _spoken(*spoken)


def _unit(match: Match) -> str:
    sign, number, unit = match[1], match[2], match[3]
    one, many = _UNITS[unit]
    return _spoken("minus" if sign else "", _cardinal(number), one if number == "1" else many)


def _range(match: Match) -> str:
    first, second = match[1], match[2]
    if re.fullmatch(r"\d{4}", first) and re.fullmatch(r"\d{4}", second) and 1100 <= int(first) <= 2099:
        return _spoken(_year(int(first)), "to", _year(int(second)))
    return f" {first} to {second}"


def _fraction(match: Match) -> str:
    above, below = int(match[1]), int(match[2])
    if not 1 < below <= 100 or above > 100:
        return _spoken(_cardinal(match[1]), "over", _cardinal(match[2]))
    name = {2: "half", 4: "quarter"}.get(below, _ordinal(below))
    if above == 1:
        return _spoken("a" if below == 2 else "one", name)
    return _spoken(_cardinal(match[1]), "halves" if below == 2 else f"{name}s")


def _decade(match: Match) -> str:
    spoken = _year(int(match[1])) if len(match[1]) == 4 else _cardinal(match[1])
    return _spoken(f"{spoken[:-1]}ies" if spoken.endswith("y") else f"{spoken}s")


def _year_or_number(match: Match) -> str:
    number = match[0]
    return _spoken(_year(int(number)))


def _telephone(match: Match) -> str:
    groups = [_digits(group) for group in re.split(r"[-.\s()]+", match[0].lstrip("+")) if group]
    return _spoken("plus" if match[0].startswith("+") else "", ", ".join(groups))


def _rules(*, british: bool) -> list[tuple[re.Pattern[str], Callable[[Match], str]]]:
    rules: list[tuple[str, Callable[[Match], str]]] = [
        (r"#(?=\d)", lambda match: " number "),
        (r"(?<!\w)~\s?(?=[$£€]?\d)", lambda match: " about "),
        (rf"{_NOT_INSIDE}(\d{{4}})-(\d{{2}})-(\d{{2}})(?:T(?=\d)|{_ENDS})", _iso_date(british)),
        (rf"{_NOT_INSIDE}(\d{{1,2}})/(\d{{1,2}})/(\d{{4}}){_ENDS}", _slash_date(british)),
        (rf"\b({_MONTH})\s+(\d{{1,2}})(?:st|nd|rd|th)?(?:,?\s+(\d{{4}}))?{_ENDS}", _month_day(british)),
        (
            rf"{_NOT_INSIDE}(\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?({_MONTH})(?:,?\s+(\d{{4}}))?(?!\w)",
            _day_month(british),
        ),
        (rf"{_NOT_INSIDE}(\d{{1,2}}):(\d{{2}})(?::(\d{{2}}))?(?:\s*([apAP]\.?[mM]\b\.?(?!\w)))?{_ENDS}", _time),
        (rf"{_NOT_INSIDE}(\d{{1,2}})()()\s*([apAP]\.?[mM]\b\.?(?!\w))", _time),
        (
            rf"(?:(?P<sign>US\$|[$£€¥₹])\s?(?P<amount>{_NUMBER})|(?!))"
            r"(?P<scale>\s?(?:thousand|million|billion|trillion|mn|bn|tn|[kKmMbBtT])\b)?(?P<after>(?!))?",
            _money,
        ),
        (rf"{_NOT_INSIDE}(?P<sign>(?!))?(?P<amount>{_NUMBER})(?P<scale>(?!))?\s?(?P<after>[€£₹¥])", _money),
        (r"(?<![\w.])\+?\d{1,3}[-. (]+\d{3}[-. )]+\d{3}[-. ]\d{4}(?!\w)", _telephone),
        (r"(?<![\w.])(?:\(\d{3}\)\s?|\d{3}[-.])\d{3}[-.]\d{4}(?!\w)", _telephone),
        (rf"{_NOT_INSIDE}(\d+(?:\.\d+)?)\s?[-–]\s?(\d+(?:\.\d+)?)(?![\w.-]*\d*[-–]\d)", _range),
        (r"(?<![\w.])'?(\d0|\d{4})'?s\b", _decade),
        (rf"{_NOT_INSIDE}([-−])?({_NUMBER})\s?({_UNIT})(?![\w²³])", _unit),
        (r"(?<=\d)\s?[*x×]\s?(?=\d)", lambda match: " times "),
        (rf"{_NOT_INSIDE}(\d{{1,3}})/(\d{{1,3}}){_ENDS}", _fraction),
        (r"(?<![\w.])(\d{1,15})(?:st|nd|rd|th)\b", lambda match: _spoken(_ordinal(int(match[1])))),
        (r"(?<![\w.])v?(\d+(?:\.\d+){2,})(?!\w)", lambda match: _spoken(_version(match[1]))),
        (rf"{_NOT_INSIDE}(?:1[1-9]|20)\d\d{_ENDS}", _year_or_number),
        (r"(?<![\w.])[-−](?=\.?\d)", lambda match: " minus "),
        (r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])", lambda match: " "),
        (_NUMBER, lambda match: _spoken(_cardinal(match[0]))),
    ]
    return [(re.compile(pattern), spoken) for pattern, spoken in rules]


def _version(version: str) -> str:
    return " point ".join(_cardinal(part) for part in version.split("."))


_RULES = _rules(british=False)
_BRITISH_RULES = _rules(british=True)

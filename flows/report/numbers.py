"""Numbers as people read them: enough digits to decide, never more than the interval supports."""

from __future__ import annotations

import math
from datetime import datetime

MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def format_value(value: float | None, digits: int = 3) -> str:
    """`digits` significant digits; powers of ten outside 1e-4 ... 1e7.

    >>> format_value(0.68312), format_value(-0.0046), format_value(2.5e-7)
    ('0.683', '−0.0046', '2.5×10⁻⁷')
    """
    if value is None:
        return NOTHING
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e7:
        return _power_of_ten(value, digits)
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    return _minus(text.rstrip("0").rstrip(".") if "." in text else text)


def format_to(value: float | None, width: float, *, signed: bool = False) -> str:
    """As many decimals as two or three digits of `width` (an interval's length) need, so that its ends line up.

    A value that would read as zero but is not keeps its first digit.

    >>> format_to(0.1702, 0.057, signed=True), format_to(0.00041, 0.031)
    ('+0.170', '0.0004')
    """
    if value is None:
        return NOTHING
    plus = "+" if signed and value > 0 else ""
    if not 1e-7 <= width < 1e7 or abs(value) >= 1e9:
        return plus + format_value(value)
    decimals = max(0, 1 + math.ceil(-math.log10(width / 2)))
    if value != 0 and round(value, decimals) == 0:
        return plus + format_value(value, 1)
    return plus + _minus(f"{value:,.{decimals}f}")


def format_count(n: int | None) -> str:
    """Whole up to ten million, then in words.

    >>> format_count(1234567), format_count(48_200_000)
    ('1,234,567', '48.2 million')
    """
    if n is None:
        return NOTHING
    for size, word in ((10**12, "trillion"), (10**9, "billion"), (10**6, "million")):
        if abs(n) >= max(size, 10**7):
            return f"{format_value(n / size)} {word}"
    return _minus(f"{n:,}")


def format_days(days: float | None) -> str:
    """A waiting time.

    >>> format_days(0.3), format_days(26.4), format_days(900)
    ('under a day', '26 days', '2.5 years')
    """
    if days is None:
        return NOTHING
    if days < 1:
        return "under a day"
    if days < 730:
        whole = round(days)
        return f"{whole} day{'' if whole == 1 else 's'}"
    years = days / 365.25
    return f"{years:,.1f} years" if years < 100 else f"{format_count(round(years))} years"


def format_ratio(ratio: float | None) -> str:
    """A relative change in percent, signed; 0.2489 reads `+25 %`."""
    if ratio is None:
        return NOTHING
    percent = 100 * ratio
    return ("+" if percent > 0 else "") + format_value(percent, 2 if abs(percent) < 100 else 3) + "\N{NO-BREAK SPACE}%"


def format_tick(value: float, step: float) -> str:
    """The label of an axis tick, with the decimals of its step."""
    if abs(value) < step / 1e6:
        return "0"
    if step >= 1000 or abs(value) >= 1e5:
        return _compact(value)
    if step < 1e-5:
        return _power_of_ten(value, 3)
    digits = math.floor(math.log10(step) + 1e-9)
    decimals = max(0, -digits + (0 if _is_round(step / 10.0**digits) else 1))
    return _minus(f"{value:,.{decimals}f}")


def format_time(moment: datetime | None) -> str:
    """`20 Nov 2026, 03:00 UTC` with a no-break space; independent of the machine's locale."""
    if moment is None:
        return NOTHING
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    zone = moment.tzname() or ""
    return f"{moment.day} {months[moment.month - 1]} {moment.year}, {moment:%H:%M}\N{NO-BREAK SPACE}{zone}".strip()


def format_seconds(seconds: float) -> str:
    """`84 s`, `7 min`, `3.2 h`."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _compact(value: float) -> str:
    if abs(value) >= 1e15:
        return _power_of_ten(value, 2)
    for size, letter in _PREFIXES:
        if abs(value) >= size:
            return f"{format_value(value / size, 4)}{letter}"
    return format_value(value)


def _power_of_ten(value: float, digits: int) -> str:
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{_minus(mantissa)}×10{str(int(exponent)).translate(_SUPERSCRIPT)}"


def _minus(text: str) -> str:
    return text.replace("-", MINUS)


def _is_round(leading: float) -> bool:
    return abs(leading - round(leading)) < 1e-6

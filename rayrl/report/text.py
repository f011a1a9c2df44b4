"""Numbers in words that people read."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rayrl.evaluation.statistics import Estimate

NOTHING = "–"
_DIGITS = 4


def number(value: float | None, decimals: int | None = None) -> str:
    """``−1,234``, ``0.01234``: with thousands apart and a true minus sign.

    Args:
        value: the number; None and NaN are a dash.
        decimals: after the point; by default as many as make four significant digits, less trailing zeros.
    """
    if value is None or math.isnan(value):
        return NOTHING
    if decimals is not None:
        text = f"{value:,.{decimals}f}"
    else:
        text = f"{value:,.{_decimals(value)}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace("-", "−") if text.strip("-0.,") else text.removeprefix("-")


def mean(estimate: Estimate) -> str:
    """The estimate itself, as precise as its interval warrants."""
    return number(estimate.value, _warranted(estimate))


def signed(estimate: Estimate) -> str:
    """``mean`` with a sign, be it positive or negative."""
    text = mean(estimate)
    return f"+{text}" if estimate.value is not None and estimate.value > 0 else text


def interval(estimate: Estimate) -> str:
    """``−1.2 to 3.4``, as precise as its width warrants; a dash where there is none."""
    if estimate.low is None or estimate.high is None:
        return NOTHING
    decimals = _warranted(estimate)
    return f"{number(estimate.low, decimals)} to {number(estimate.high, decimals)}"


def percent(share: float | None) -> str:
    """``87.3 %``."""
    return NOTHING if share is None or math.isnan(share) else f"{100 * share:.1f} %".replace("-", "−")


def percent_interval(estimate: Estimate) -> str:
    """``interval`` of a share: ``12.3 % to 45.6 %``."""
    if estimate.low is None or estimate.high is None:
        return NOTHING
    return " to ".join(percent(end) for end in (estimate.low, estimate.high))


def duration(seconds: float) -> str:
    """``4.5 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{seconds:.3g} s"


def count(n: int, noun: str, plural: str | None = None) -> str:
    """``1 seed``, ``3 seeds``; the plural is given where it is not the noun with an s."""
    return f"{n:,} {noun if n == 1 else plural or f'{noun}s'}"


def listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def capitalized(text: str) -> str:
    """The text with a capital at its beginning."""
    return text[:1].upper() + text[1:]


def _warranted(estimate: Estimate) -> int | None:
    """Decimals that show two digits of the interval's half width, but no more than four of the value."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return None
    half = (estimate.high - estimate.low) / 2
    if half == 0:
        return None
    return min(_decimals(half, digits=2), _decimals(estimate.value) if estimate.value else _DIGITS)


def _decimals(value: float, digits: int = _DIGITS) -> int:
    """Decimals that show so many significant digits."""
    return max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0

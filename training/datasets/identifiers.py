"""What official numbers must satisfy: bare ASCII digits go in, whether they agree comes out.

Knows no text, no separators, and not what a number is for.
"""

from datetime import date

CENTURIES = {"1": 1900, "2": 1900, "5": 1900, "6": 1900, "3": 2000, "4": 2000, "7": 2000, "8": 2000}
"""Seventh digit of a resident's number -> century of birth; 5-8 are foreigners'."""
CARDS = {
    16: (("4", "4"), ("51", "55"), ("2221", "2720"), ("3528", "3589"), ("60", "60"), ("62", "62"),
         ("64", "65"), ("90", "99")),
    15: (("34", "34"), ("37", "37")),
    14: (("300", "305"), ("36", "36"), ("38", "39")),
}  # fmt: skip
"""Length -> first digits that card networks use (ISO/IEC 7812; 9 is Korea's domestic one)."""


def birth(resident: str) -> date | None:
    """Return the birth date in a resident's number of 13 digits; None when there is no such date."""
    century = CENTURIES.get(resident[6])
    if century is None:
        return None
    try:
        born = date(century + int(resident[:2]), int(resident[2:4]), int(resident[4:6]))
    except ValueError:
        return None
    return born if born <= date.today() else None


def is_dated(number: str) -> bool:
    """Tell whether digits begin with a day of these decades, as receipts and orders do."""
    try:
        day = date(int(number[:4]), int(number[4:6]), int(number[6:8]))
    except ValueError:
        return False
    return 1990 <= day.year <= date.today().year + 1


def resident_agrees(number: str) -> bool:
    """Tell whether the check digit fits; numbers given since October 2020 have none."""
    total = _weighed(number[:12], "234567892345")
    return int(number[12]) == ((13 if number[6] in "5678" else 11) - total % 11) % 10


def corporate_agrees(number: str) -> bool:
    """Tell whether 13 digits are a company's registration: court, kind of company, check digit."""
    is_kind = number[4:6] in ("11", "12", "13", "14", "15", "21", "22", "31", "71")
    return is_kind and int(number[12]) == -_weighed(number[:12], "121212121212") % 10


def business_agrees(number: str) -> bool:
    """Tell whether the check digit of a business number (10 digits) fits."""
    total = _weighed(number[:9], "137137135") + int(number[8]) * 5 // 10
    return number[:3] > "100" and int(number[9]) == -total % 10


def card_agrees(number: str) -> bool:
    """Tell whether 14-16 digits begin as a card network's and Luhn's check digit fits."""
    networks = CARDS.get(len(number), ())
    if not any(first <= number[: len(first)] <= last for first, last in networks):
        return False
    doubled = "0246813579"  # the digits of twice a digit, added up
    return sum(int(doubled[int(digit)]) for digit in number[-2::-2]) % 10 == (
        -sum(map(int, number[::-2])) % 10
    )


def barcode_agrees(number: str) -> bool:
    """Tell whether 13 digits are a Korean article number (GS1, EAN-13)."""
    return number.startswith("880") and int(number[12]) == -_weighed(number, "131313131313") % 10


def _weighed(number: str, weights: str) -> int:
    return sum(int(a) * int(b) for a, b in zip(number, weights, strict=False))

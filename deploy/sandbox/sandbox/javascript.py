"""JSON text as a JavaScript program writes it: NOWPayments answers, notifies and signs with `JSON.stringify`.

Written from section 5 of the NOWPayments contract for bodies that the sandbox itself makes: keys are ASCII and
never look like array indexes, so sorting needs no rule for those.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from json.encoder import encode_basestring
from typing import TypeAlias

Number: TypeAlias = int | float | Decimal
Json: TypeAlias = "bool | Number | str | Sequence[Json] | Mapping[str, Json] | None"


def number(value: Number) -> str:
    """Spell `value` as `Number.prototype.toString` does: shortest digits that read back to the same double."""
    try:
        double = float(value)
    except OverflowError:  # an int beyond the doubles; JavaScript has read it as Infinity
        return "null"
    if not math.isfinite(double):
        return "null"
    sign, all_digits, exponent = Decimal(repr(double)).as_tuple()
    digits = "".join(map(str, all_digits)).rstrip("0")
    if not digits:
        return "0"
    # The decimal point stands behind this many digits, counted from the first one.
    point = len(all_digits) + int(exponent)
    return ("-" if sign else "") + _place_point(digits, point)


def _place_point(digits: str, point: int) -> str:
    if 0 < point <= 21:  # the bounds 21 and -6 are ECMAScript's
        whole, fraction = digits[:point].ljust(point, "0"), digits[point:]
        return f"{whole}.{fraction}" if fraction else whole
    if -6 < point <= 0:
        return f"0.{'0' * -point}{digits}"
    mantissa = f"{digits[0]}.{digits[1:]}" if len(digits) > 1 else digits
    return f"{mantissa}e{point - 1:+d}"


def stringify(
    value: Json,
    *,
    sort: bool = False,
    comma: str = ",",
    colon: str = ":",
    spell: Callable[[Number], str] = number,
) -> str:
    """Write `value` without white space; `sort` orders object keys at every depth, arrays stay as they are."""

    def write(part: Json) -> str:
        match part:
            case None:
                return "null"
            case bool():
                return "true" if part else "false"
            case int() | float() | Decimal():
                return spell(part)
            case str():
                # Escapes exactly what JSON.stringify escapes: quote, backslash and the controls below U+0020.
                return encode_basestring(part)
            case Mapping():
                keys = sorted(part) if sort else list(part)
                return "{" + comma.join(f"{write(key)}{colon}{write(part[key])}" for key in keys) + "}"
            case _:
                return "[" + comma.join(write(item) for item in part) + "]"

    return write(value)

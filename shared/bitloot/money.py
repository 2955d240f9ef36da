"""Money: decimals from the raw text of a number, never floats, always beside a currency."""

from decimal import Decimal
from typing import Annotated

from pydantic import Field, StringConstraints

Amount = Annotated[Decimal, Field(ge=0, max_digits=36, decimal_places=18, allow_inf_nan=False)]
"""A finite amount of at most 18 digits before and after the point; JSON has it as a string."""

Currency = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{2,20}$", to_lower=True, strip_whitespace=True)]
"""A currency or coin as NOWPayments names it, in lower case: `eur`, `btc`, `usdttrc20`."""

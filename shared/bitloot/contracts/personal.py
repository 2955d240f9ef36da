"""What names a person, as records carry it: sealed under a key that belongs to one order, and never plain."""

from typing import Annotated

from pydantic import StringConstraints

SealedText = Annotated[str, StringConstraints(pattern=r"^p1:[A-Za-z0-9_-]+={0,2}$", min_length=27, max_length=1000)]
"""A text that `bitloot.personal` has sealed: `p1:` and base64url. Without the order's key it tells its length alone.

A record that holds anything else here, such as a plain mail address, is refused where it is made and where it is read.
"""

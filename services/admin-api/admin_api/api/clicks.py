"""How a click is named: one key is one click, however often it arrives."""

import uuid
from typing import Annotated

from pydantic import Field

from admin_api.api.schemas import ActionKey


def new_action() -> str:
    """Name a click that came without a name."""
    return str(uuid.uuid4())


Action = Annotated[
    ActionKey,
    Field(default_factory=new_action, description="Names the click: the same key again is the same click"),
]
ACTION_HEADERS = (("action", "Idempotency-Key"),)

"""A clock that stands still until it is moved."""

from datetime import UTC, datetime, timedelta


class FakeTime:
    """Call it for the time: aware, in UTC."""

    def __init__(self, start: datetime = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)) -> None:
        self.now = start

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)

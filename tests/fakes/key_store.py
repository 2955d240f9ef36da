"""Object storage in memory: `KeyStore` and `LinkSigner`."""

from collections.abc import Callable
from datetime import datetime, timedelta

from bitloot.errors import BitLootError, Cause, Refused
from delivery.mail import SignedLink
from delivery.storing import JSON


class FakeKeyStore:
    """Keeps objects in `objects`.

    `failures` are raised by the next calls, one each; a failure in `lost_answers` is raised by the next put after
    it has written.
    """

    def __init__(self, clock: Callable[[], datetime], link_age: timedelta = timedelta(minutes=15)) -> None:
        self.objects: dict[str, bytes] = {}
        self.types: dict[str, str] = {}
        self.failures: list[BitLootError] = []
        self.lost_answers: list[BitLootError] = []
        self.signed = 0
        self._clock = clock
        self._link_age = link_age

    async def put_new(self, object_key: str, body: bytes, content_type: str = JSON) -> bool:
        self._fail()
        if object_key in self.objects:
            return False
        self.objects[object_key] = body
        self.types[object_key] = content_type
        if self.lost_answers:
            raise self.lost_answers.pop(0)
        return True

    async def get(self, object_key: str) -> bytes:
        self._fail()
        if object_key not in self.objects:
            raise Refused(Cause.NOT_FOUND, "storage answered 404 NoSuchKey")
        return self.objects[object_key]

    async def sign(self, object_key: str) -> SignedLink:
        self._fail()
        self.signed += 1
        url = f"https://storage.test/bucket/{object_key}?X-Amz-Expires=900&X-Amz-Signature=planted{self.signed:08d}"
        return SignedLink(url, self._clock() + self._link_age)

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)

"""A product key that only the delivery worker can open."""

from bitloot.contracts.base import Model


class SealedCode(Model):
    """A code in a libsodium sealed box.

    `key_id` names the key pair, `box` is base64, `media_type` is the type of the plain content
    (`text/plain`, or `image/png` and the like).
    """

    key_id: str
    box: str
    media_type: str = "text/plain"

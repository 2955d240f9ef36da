"""Signs webhooks as Svix does for Resend (Standard Webhooks, symmetric v1)."""

import base64
import hashlib
import hmac


def headers(key: bytes, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the three headers of one attempt; the timestamp is the attempt's, the id stays."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return {
        "svix-id": message_id,
        "svix-timestamp": str(timestamp),
        "svix-signature": "v1," + base64.b64encode(digest).decode(),
    }

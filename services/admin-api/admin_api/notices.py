"""The channel of Postgres on which the sink tells what it has just written."""

CHANNEL = "bitloot_desk"
"""Payloads are JSON: `{"kind": "order" | "webhook_log" | "dead_letter" | "all", "ids": [...]}`; without ids: many."""
MAX_IDS = 50  # a payload has 8,000 bytes at most

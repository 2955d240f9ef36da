"""Stores keys, mails the link to them, and serves the buyer's order page."""

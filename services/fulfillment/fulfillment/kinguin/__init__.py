"""Buys keys at Kinguin: the worker of `kinguin.calls.v1`, and the dialects that it speaks."""

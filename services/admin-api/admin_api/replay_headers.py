"""How a record that was sent again says so, in case it fails again: a new dead letter keeps these headers."""

OF = "bitloot-replay-of"
"""The event id of the dead letter."""

ACTION = "bitloot-replay-action"
"""The action that sent it again."""

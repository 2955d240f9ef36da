"""Selling on Kinguin: offers with declared stock, reservations told by webhook, codes handed over."""

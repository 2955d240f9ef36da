"""Kinguin's public buyer API ("ESA"): catalogue, orders, keys, balance, and its two webhooks."""

"""Decides the life of an order, and buys its keys."""

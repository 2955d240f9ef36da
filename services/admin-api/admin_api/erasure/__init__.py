"""Erases a buyer's personal data, and proves it."""

"""The buyer's page: where the order is, and "Reveal key"."""

"""Selling our own codes on Kinguin: what decides about a sale, the agent around it, and the seller worker."""

"""Fills the read model from Kafka anew, beside the one in use, and puts right where the two differ."""

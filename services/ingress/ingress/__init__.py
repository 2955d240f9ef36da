"""Turns verified webhooks and new orders into Kafka records."""

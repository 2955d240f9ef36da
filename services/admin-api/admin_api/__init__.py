"""Fills Postgres from Kafka, and lets admins read, reprocess and replay."""

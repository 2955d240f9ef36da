"""The sink: fills the read model from Kafka, each record exactly once."""

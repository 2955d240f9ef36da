"""The contracts between services: topics, the records on them, and their JSON examples."""

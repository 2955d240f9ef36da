"""The whole system on one machine without containers: servers, services, and one command for all of it."""

"""The admin API: reads the read model, publishes what admins ask for."""

"""Who may use the desk: roles, tokens, accounts, sessions, sign-in by a provider, limits and the audit log."""

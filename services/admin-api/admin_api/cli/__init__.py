"""`bitloot`: the desk's command line.

What concerns orders and dead letters goes through the admin API, with a token, and is audited there. Accounts, tokens
and the audit log are kept with the database itself: whoever has its address runs the installation.
"""

from admin_api.cli.app import app


def main() -> None:
    """Run the command line."""
    app()

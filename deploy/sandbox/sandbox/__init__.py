"""Simulators of Kinguin, NOWPayments and Resend with a ledger of every call.

The sandbox reads the providers' contracts on its own and imports nothing from BitLoot, so that an agreement
between the two is evidence and not an echo.
"""

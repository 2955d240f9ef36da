"""All endpoints of the admin API."""

from admin_api.api import (
    actions,
    audit,
    bulk_replays,
    dead_letters,
    offers,
    order_actions,
    orders,
    payments,
    reprocessing,
    reservations,
    session,
    stock,
    time_to_key,
    unmasking,
    webhook_logs,
)
from admin_api.api.routing import AnyRoute

ROUTES: tuple[AnyRoute, ...] = (
    *session.ROUTES,
    *orders.ROUTES,
    *reservations.ROUTES,
    *payments.ROUTES,
    *webhook_logs.ROUTES,
    *bulk_replays.ROUTES,
    *dead_letters.ROUTES,
    *time_to_key.ROUTES,
    *reprocessing.ROUTES,
    *stock.ROUTES,
    *offers.ROUTES,
    *order_actions.ROUTES,
    *actions.ROUTES,
    *unmasking.ROUTES,
    *audit.ROUTES,
)

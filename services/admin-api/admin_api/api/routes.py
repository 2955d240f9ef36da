"""All endpoints of the admin API."""

from admin_api.api import (
    bulk_replays,
    dead_letters,
    offers,
    orders,
    payments,
    reprocessing,
    reservations,
    stock,
    time_to_key,
    webhook_logs,
)
from admin_api.api.routing import AnyRoute

ROUTES: tuple[AnyRoute, ...] = (
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
)

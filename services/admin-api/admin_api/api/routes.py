"""All endpoints of the admin API."""

from admin_api.api import dead_letters, orders, payments, reprocessing, reservations, time_to_key, webhook_logs
from admin_api.api.routing import AnyRoute

ROUTES: tuple[AnyRoute, ...] = (
    *orders.ROUTES,
    *reservations.ROUTES,
    *payments.ROUTES,
    *webhook_logs.ROUTES,
    *dead_letters.ROUTES,
    *time_to_key.ROUTES,
    *reprocessing.ROUTES,
)

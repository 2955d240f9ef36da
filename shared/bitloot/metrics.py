"""Every metric of every service, in one place.

Labels take their values from closed sets (topics, routes, providers, causes), never from ids, paths or
texts, so the number of series stays small. Durations are in seconds.
"""

from importlib.metadata import version

from prometheus_client import Counter, Gauge, Histogram

# A call to a provider: from a cached answer to the longest deadline.
_CALL_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
# An answer of ours: senders of notifications give up after some seconds.
_HTTP_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
# The objective: of paid orders, 99.9 % have their mail this long after the provider has the keys.
SLO_SECONDS = 300
# What the buyer waits: seconds when all goes well, hours when a person has to look.
_KEY_SECONDS = (0.5, 1, 2, 3, 5, 8, 13, 20, 30, 60, 120, 300, 900, 3600, 14400, 86400)

BUILD_INFO = Gauge("bitloot_build_info", "Always 1; says what runs here.", ("service", "version"))

# HTTP

HTTP_REQUESTS = Counter(
    "bitloot_http_requests",
    "Requests answered. `route` is the template, never the path.",
    ("method", "route", "status"),
)
HTTP_SECONDS = Histogram(
    "bitloot_http_request_seconds",
    "From the request to its answer.",
    ("method", "route"),
    buckets=_HTTP_SECONDS,
)

# Webhooks in

WEBHOOKS_ACCEPTED = Counter(
    "bitloot_webhooks_accepted",
    "Notifications verified and stored. `secret` is current or previous: when it stays at previous, the "
    "provider was not told the new one.",
    ("provider", "secret"),
)
WEBHOOKS_REFUSED = Counter(
    "bitloot_webhooks_refused",
    "Notifications answered with 4xx. `reason` is a refusal word, such as mismatch or not_json.",
    ("provider", "reason"),
)
REFUSALS_NOT_SAMPLED = Counter(
    "bitloot_refusals_not_sampled",
    "Refused notifications of which no sample was kept: too many at once, or Postgres is away.",
    ("provider",),
)
WEBHOOKS_DUPLICATE = Counter(
    "bitloot_webhooks_duplicate", "Notifications that the sink had seen before.", ("provider",)
)
NOTICES_EXPECTED = Gauge(
    "bitloot_notices_expected",
    "Things of the last hour of which the provider should have told us: payments, purchases, mails.",
    ("provider",),
)
NOTICES_SEEN = Gauge("bitloot_notices_seen", "Of those, the things of which it has told us.", ("provider",))
NOTICE_AGE_SECONDS = Gauge(
    "bitloot_notice_age_seconds", "Time since the newest notification of a provider was received.", ("provider",)
)
WEBHOOKS_NOT_STORED = Counter(
    "bitloot_webhooks_not_stored",
    "Notifications answered with 503 because Kafka did not acknowledge.",
    ("provider",),
)

# Kafka

RECORDS_CONSUMED = Counter("bitloot_records_consumed", "Records handled and acknowledged.", ("topic",))
RECORDS_PRODUCED = Counter("bitloot_records_produced", "Records acknowledged by the broker.", ("topic",))
RECORDS_FAILED = Counter("bitloot_records_failed", "Records that the broker did not acknowledge.", ("topic",))
RECORDS_EXPIRED = Counter(
    "bitloot_records_expired", "Records that their topic's retention deleted before they were handled.", ("topic",)
)
DEAD_LETTERS = Counter("bitloot_dead_letters", "Records put aside. `reason` is a cause.", ("topic", "reason"))
HELD_BACK = Gauge(
    "bitloot_held_back",
    "1 while records wait because too many of them failed unexpectedly (a bad deploy), else 0.",
    ("consumer",),
)
LOG_LOST = Gauge(
    "bitloot_log_lost",
    "1 while nothing is done because Kafka no longer holds what was worked on: a person has to look, else 0.",
    ("consumer",),
)
CONSUMER_LAG = Gauge(
    "bitloot_consumer_lag", "Records not yet acknowledged, for each owned partition.", ("topic", "partition")
)
OLDEST_UNHANDLED_SECONDS = Gauge(
    "bitloot_oldest_unhandled_seconds",
    "Age of the oldest record taken but not acknowledged, for each owned partition; 0 when there is none. "
    "A sum would hide one dead partition.",
    ("topic", "partition"),
)
UNCOMMITTED_SECONDS = Gauge(
    "bitloot_uncommitted_seconds",
    "For how long something has been done and not committed, for each owned partition; 0 when there is nothing.",
    ("topic", "partition"),
)
COMMIT_AGE_SECONDS = Gauge("bitloot_commit_age_seconds", "Time since offsets were last committed.", ("group",))
TABLES_RECOVERED = Gauge("bitloot_tables_recovered", "1 when the Faust tables are complete, else 0.", ())
RECOVERY_SECONDS = Gauge(
    "bitloot_recovery_seconds", "For how long Faust tables have been incomplete; 0 when they are complete.", ()
)
STANDBY_LAG = Gauge(
    "bitloot_standby_lag",
    "Records that this worker's copy of another one's table lacks, for each partition of a changelog.",
    ("topic", "partition"),
)

# Effects

EFFECTS = Counter(
    "bitloot_effects",
    "Effects ended. `outcome` is done, repeated (from the ledger), late (given up by others before), transient, "
    "refused, malformed or unknown.",
    ("kind", "outcome"),
)
EFFECT_SECONDS = Histogram(
    "bitloot_effect_seconds", "From the claim of an effect to its outcome.", ("kind",), buckets=_CALL_SECONDS
)
PROVIDER_CALLS = Counter(
    "bitloot_provider_calls",
    "Calls to a provider. `result` is ok or a cause.",
    ("provider", "call", "result"),
)
PROVIDER_SECONDS = Histogram(
    "bitloot_provider_call_seconds", "A call to a provider.", ("provider", "call"), buckets=_CALL_SECONDS
)
RATE_LIMIT_PERMITS = Counter(
    "bitloot_rate_limit_permits",
    "Calls that a shared rate limit has let through. `source` is shared, or alone while Postgres is away.",
    ("source",),
)
RATE_LIMIT_TURNED_AWAY = Counter(
    "bitloot_rate_limit_turned_away", "Calls that were not made because their turn would have come too late.", ()
)
BREAKER_OPEN = Gauge(
    "bitloot_breaker_open",
    "1 while calls to a provider fail at once, 0.5 while one of them tries, else 0.",
    ("provider",),
)
BREAKER_OPENED = Counter("bitloot_breaker_opened", "How often calls to a provider were stopped.", ("provider",))
PROVIDER_BALANCE = Gauge(
    "bitloot_provider_balance", "The last balance read of our account at a provider.", ("provider", "currency")
)
PROVIDER_BALANCE_LOW = Gauge(
    "bitloot_provider_balance_low", "1 while the balance is below the threshold that was set, else 0.", ("provider",)
)
RETRIES = Counter("bitloot_retries", "Durable retries scheduled.", ("kind", "cause"))

# Selling

SALES = Counter("bitloot_sales", "Sales on Kinguin that reached a status.", ("status",))
STOCK_CODES = Gauge("bitloot_stock_codes", "Codes of the stock that we sell, all products together.", ("state",))
OFFER_PROBLEMS = Gauge(
    "bitloot_offer_problems", "Offers on Kinguin that customers cannot buy, or soon cannot.", ("problem",)
)

# Orders

ORDERS = Counter("bitloot_orders", "Orders that reached a status.", ("status",))
TIME_TO_KEY_SECONDS = Histogram(
    "bitloot_time_to_key_seconds", "From the final payment to the accepted mail.", buckets=_KEY_SECONDS
)
KEYS_READY = Counter(
    "bitloot_keys_ready", "Paid orders for which the provider has had all keys: what the objective is measured by.", ()
)
KEYS_IN_TIME = Counter(
    "bitloot_keys_in_time",
    f"Of those, the orders whose mail was accepted within {SLO_SECONDS} s of that.",
    (),
)
KEYS_TO_MAIL_SECONDS = Histogram(
    "bitloot_keys_to_mail_seconds",
    "From the moment at which the provider had all keys of an order to the accepted mail.",
    buckets=_KEY_SECONDS,
)
ORDERS_OPEN = Gauge(
    "bitloot_orders_open", "Orders that have not ended, by status, as the read model has them.", ("status",)
)
ORDERS_STUCK = Gauge(
    "bitloot_orders_stuck",
    "Orders paid more than 15 minutes ago that have neither ended nor wait for a person.",
    (),
)
ORDERS_OLDEST_SECONDS = Gauge(
    "bitloot_orders_oldest_seconds", "Since when the oldest paid order that has not ended was paid; 0 for none.", ()
)
PAYMENTS_FOUND_BY_POLLING = Counter(
    "bitloot_payments_found_by_polling",
    "News of payments that no notification had told when we asked. Growing numbers mean that notifications are lost.",
    ("status",),
)
ORDERS_RETIRED = Counter("bitloot_orders_retired", "Closed orders that left the table after their retention.", ())
RETIRED_ORDER_EVENTS = Counter(
    "bitloot_retired_order_events", "Events that came after their order had left; they change nothing.", ("type",)
)
TIMERS_WAITING = Gauge(
    "bitloot_timers_waiting", "Orders, or reservations with waiting notices, that wait for a time here.", ("source",)
)
TIMER_LAG_SECONDS = Gauge(
    "bitloot_timer_lag_seconds", "For how long the oldest due timer has waited for its effect; 0 for none.", ("source",)
)

# Read model

SINK_ROWS = Counter("bitloot_sink_rows", "Rows written by the sink.", ("table",))
SINK_LAG_SECONDS = Gauge(
    "bitloot_sink_lag_seconds",
    "Age of the newest record that the sink has written: how old the views are.",
    (),
)


def announce(service: str) -> None:
    """Say what runs here; call once at start-up."""
    BUILD_INFO.labels(service, version("bitloot")).set(1)

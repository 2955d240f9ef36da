"""How every client of ours reaches the brokers: where they are, over TLS or not, and as whom."""

import ssl
from typing import Any

from bitloot.settings import KafkaSettings


def options(settings: KafkaSettings) -> dict[str, Any]:
    """Return what any client of aiokafka is opened with.

    The certificate of a broker is checked, its name too, whenever there is TLS: there is no setting against that.
    """
    password = settings.kafka_password
    sasl = {
        "sasl_mechanism": settings.kafka_sasl_mechanism,
        "sasl_plain_username": settings.kafka_username,
        "sasl_plain_password": password.get_secret_value() if password else None,
    }
    tls = settings.kafka_security_protocol.endswith("SSL")
    return {
        "bootstrap_servers": settings.kafka_bootstrap_servers,
        "security_protocol": settings.kafka_security_protocol,
        "ssl_context": ssl.create_default_context(cafile=settings.kafka_ca_file) if tls else None,
    } | (sasl if settings.kafka_security_protocol.startswith("SASL") else {})

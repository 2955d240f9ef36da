"""Whether Kafka answers: without it nothing can be accepted, so no traffic should come here."""

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError


async def complaint(bootstrap_servers: str) -> str | None:
    """Ask the brokers for their metadata; return why that failed, or None."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap_servers, client_id="ingress-probe", request_timeout_ms=1500)
    try:
        await client.bootstrap()
    except KafkaError as error:
        return f"no broker answers ({type(error).__name__})"
    finally:
        await client.close()
    return None

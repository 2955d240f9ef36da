"""Settings of the fulfillment process: the orders agent and the reservation router."""

from pathlib import Path

from pydantic import Field

from bitloot.settings import HttpSettings, KafkaSettings


class Settings(KafkaSettings, HttpSettings):
    """Read once, in `__main__`."""

    faust_datadir: Path = Field(description="a directory for this worker's tables that survives a restart")
    topic_replication: int = Field(1, ge=1, description="the replication factor of the tables' changelogs")

"""What the sink and the admin API read from the environment."""

from typing import Self

from pydantic import Field, model_validator

from bitloot.sealing import SealingPublicKey
from bitloot.settings import HttpSettings, KafkaSettings, LogLevel, PostgresSettings, Secret, Secrets


class SinkSettings(KafkaSettings, PostgresSettings, HttpSettings):
    """The sink; its HTTP port serves health and metrics only."""


class RebuildSettings(KafkaSettings, PostgresSettings):
    """The command that rebuilds the read model. It talks to people: logs are for what goes wrong."""

    log_level: LogLevel = Field("WARNING", description="DEBUG, INFO, WARNING or ERROR")


class ApiSettings(KafkaSettings, PostgresSettings, HttpSettings):
    """The admin API."""

    admin_token: Secrets = Field(
        description="the bearer token of admins; to rotate, the current and the previous one, separated by a comma"
    )
    dead_letter_replays_per_second: float = Field(
        20.0, gt=0, le=1000, description="how many dead letters a replay of many sends again in a second, at most"
    )
    stock_sealing_public_key: SealingPublicKey | None = Field(
        None, description="the public key to seal codes with that are sold on Kinguin, or nothing where nothing is sold"
    )
    stock_hash_key: Secret | None = Field(
        None, description="a secret of 16 characters or more that tells codes apart; it never changes", min_length=16
    )

    @model_validator(mode="after")
    def _stock_is_whole(self) -> Self:
        if (self.stock_sealing_public_key is None) != (self.stock_hash_key is None):
            raise ValueError("STOCK_SEALING_PUBLIC_KEY and STOCK_HASH_KEY belong together")
        return self

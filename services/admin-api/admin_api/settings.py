"""What the sink and the admin API read from the environment."""

from pydantic import Field

from bitloot.settings import HttpSettings, KafkaSettings, LogLevel, PostgresSettings, Secrets


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

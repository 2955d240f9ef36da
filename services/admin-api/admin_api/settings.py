"""What the sink and the admin API read from the environment."""

from datetime import timedelta
from ipaddress import ip_address
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from admin_api.access.gate import AccessSettings
from admin_api.access.limits import Limit
from admin_api.access.oidc import OidcSettings
from admin_api.access.rights import Role
from bitloot.code_hashes import CodeHashKeys
from bitloot.proxies import ProxySettings
from bitloot.sealing import SealingPublicKey
from bitloot.settings import HttpSettings, KafkaSettings, LogLevel, PostgresSettings, Secret, Secrets


def _for_browsers(value: str) -> str:
    """Check the address that people's browsers know the desk by: HTTPS, but on this machine itself."""
    url = urlsplit(value)
    if url.scheme not in {"http", "https"} or not url.hostname or url.username or url.path.strip("/"):
        raise ValueError("it is not an address like https://desk.example.com")
    if url.query or url.fragment:
        raise ValueError("it has more than a host; a path below which the desk is served is BASE_PATH")
    if url.scheme == "http" and not _is_loopback(url.hostname):
        raise ValueError("it is not HTTPS: passwords and sessions would be sent for all to read")
    return value.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _role_map(value: str) -> str:
    pairs = [part.strip().rpartition("=") for part in value.split(",")]
    if any(not group or role not in set(Role) for group, _, role in pairs):
        raise ValueError(f"it is not written as group=role,group=role with the roles {', '.join(Role)}")
    return value


class SinkSettings(KafkaSettings, PostgresSettings, HttpSettings):
    """The sink; its HTTP port serves health and metrics only."""


class RebuildSettings(KafkaSettings, PostgresSettings):
    """The command that rebuilds the read model. It talks to people: logs are for what goes wrong."""

    log_level: LogLevel = Field("WARNING", description="DEBUG, INFO, WARNING or ERROR")


class ApiSettings(KafkaSettings, PostgresSettings, HttpSettings, ProxySettings):
    """The admin API."""

    admin_token: Secrets = Field(
        description="the bearer token of admins; to rotate, the current and the previous one, separated by a comma"
    )
    dead_letter_replays_per_second: float = Field(
        20.0, ge=0.001, le=1000, description="how many dead letters a replay of many sends again in a second, at most"
    )
    admin_public_url: Annotated[str, AfterValidator(_for_browsers)] = Field(
        "http://127.0.0.1:8080",
        description="the address that browsers know the desk by; HTTPS unless it is on this machine",
    )
    session_idle_minutes: int = Field(
        30, ge=1, le=1440, description="how many minutes without a request end a session of the desk"
    )
    session_hours: int = Field(12, ge=1, le=168, description="how many hours a session of the desk lasts at most")
    token_requests_per_minute: int = Field(
        3000, ge=1, le=1_000_000, description="how often one API token may ask in a minute, over all replicas"
    )
    oidc_issuer: str | None = Field(None, description="the address of the identity provider, or nothing for none")
    oidc_client_id: str | None = Field(None, description="what the identity provider knows the desk by")
    oidc_client_secret: Secret | None = Field(
        None, description="the desk's secret at the identity provider, or nothing where PKCE alone is asked for"
    )
    oidc_roles_claim: str = Field("groups", description="the claim of the ID token that lists a person's groups")
    oidc_roles: Annotated[str, AfterValidator(_role_map)] = Field(
        ",".join(f"{role}={role}" for role in Role),
        description="which group has which role, as desk-admins=admin,helpdesk=support",
    )
    stock_sealing_public_key: SealingPublicKey | None = Field(
        None, description="the public key to seal codes with that are sold on Kinguin, or nothing where nothing is sold"
    )
    stock_hash_key: Secret | None = Field(
        None, description="a secret of 16 characters or more that tells codes apart; it never changes", min_length=16
    )

    code_hash_keys: CodeHashKeys | None = Field(
        None,
        description="the keys of the hashes by which a code is found, those of ingress and kinguin and all before "
        "them, as id:base64,id:base64, or nothing for no such search",
    )

    @model_validator(mode="after")
    def _stock_is_whole(self) -> Self:
        if (self.stock_sealing_public_key is None) != (self.stock_hash_key is None):
            raise ValueError("STOCK_SEALING_PUBLIC_KEY and STOCK_HASH_KEY belong together")
        return self

    @model_validator(mode="after")
    def _provider_is_whole(self) -> Self:
        if (self.oidc_issuer is None) != (self.oidc_client_id is None):
            raise ValueError("OIDC_ISSUER and OIDC_CLIENT_ID belong together")
        return self

    def access(self) -> AccessSettings:
        """Return who may come in, and how."""
        return AccessSettings(
            tokens=self.admin_token,
            secure=self.admin_public_url.startswith("https:"),
            idle=timedelta(minutes=self.session_idle_minutes),
            whole=timedelta(hours=self.session_hours),
            token_requests=Limit(burst=self.token_requests_per_minute, per_minute=self.token_requests_per_minute),
            home=f"{self.base_path}/",
            proxies=self.proxy_networks,
        )

    def oidc(self) -> OidcSettings | None:
        """Return the identity provider, if there is one."""
        if self.oidc_issuer is None or self.oidc_client_id is None:
            return None
        pairs = (part.strip().rpartition("=") for part in self.oidc_roles.split(","))
        return OidcSettings(
            issuer=self.oidc_issuer,
            client_id=self.oidc_client_id,
            client_secret=self.oidc_client_secret,
            redirect_url=f"{self.admin_public_url}{self.base_path}/admin/oidc/callback",
            roles_claim=self.oidc_roles_claim,
            roles={group: role for group, _, role in pairs},
        )

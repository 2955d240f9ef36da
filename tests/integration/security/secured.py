"""A broker that demands TLS and a password, and lets each user do what `bitloot.contracts.access` grants, nothing else."""

import secrets
from pathlib import Path
from typing import ClassVar

import trustme
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.admin import CreateAclsRequest, CreateAclsRequest_v1
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from bitloot.broker import options
from bitloot.contracts.access import Grant, grants, users
from bitloot.settings import KafkaSettings
from embedded.kafka import Kafka

ADMIN = "admin"
"""The broker's own user, that may do everything."""
_MECHANISM = "SCRAM-SHA-512"
# https://github.com/apache/kafka: ResourceType, PatternType, AclOperation, AclPermissionType
_TOPIC, _GROUP, _LITERAL, _ALLOW = 2, 3, 3, 3
_OPERATIONS = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8, "DescribeConfigs": 10}


class SecuredKafka(Kafka):
    """The embedded broker, with one listener for clients: SASL_SSL, a user for each process and one for us."""

    name: ClassVar[str] = "kafka"

    def __init__(self, run_dir: Path) -> None:
        super().__init__(run_dir)
        self._passwords = {user: secrets.token_hex(12) for user in (ADMIN, *users())}
        self._authority = trustme.CA()
        self.ca_file = self.run_dir / "ca.pem"

    def settings_of(self, user: str, **others: str) -> KafkaSettings:
        """Return what a process sets to be this user."""
        return KafkaSettings.model_validate(
            {name.lower(): value for name, value in (self.environment_of(user) | others).items()}
        )

    def environment_of(self, user: str) -> dict[str, str]:
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": _MECHANISM,
            "KAFKA_USERNAME": user,
            "KAFKA_PASSWORD": self._passwords[user],
            "KAFKA_CA_FILE": str(self.ca_file),
        }

    async def grant(self) -> None:
        """Let each user do what it may, from now on."""
        client = AIOKafkaClient(**options(self.settings_of(ADMIN)))
        try:
            await client.bootstrap()
            answer = await client.send(
                client.get_random_node(), _CreateAcls([(user, each) for user in users() for each in grants(user)])
            )
        finally:
            await client.close()
        assert all(code == 0 for code, _ in answer.creation_responses), answer

    async def _prepare(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._authority.cert_pem.write_to_path(self.ca_file)
        certificate = self._authority.issue_cert("127.0.0.1")
        # Kafka wants the key as PKCS 8, and the chain behind it.
        key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
        (self.data_dir / "server.pem").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            + b"".join(each.bytes() for each in certificate.cert_chain_pems)
        )
        await super()._prepare()

    def _format_options(self) -> list[str]:
        return [
            part
            for user, password in self._passwords.items()
            for part in ("--add-scram", f"{_MECHANISM}=[name={user},password={password}]")
        ]

    def _settings(self) -> dict[str, str]:
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule"
        return super()._settings() | {
            "listener.security.protocol.map": "BROKER:SASL_SSL,CONTROLLER:PLAINTEXT",
            "sasl.enabled.mechanisms": _MECHANISM,
            "sasl.mechanism.inter.broker.protocol": _MECHANISM,
            "listener.name.broker.scram-sha-512.sasl.jaas.config": (
                f'{scram} required username="{ADMIN}" password="{self._passwords[ADMIN]}";'
            ),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.data_dir / "server.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.ca_file),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            # The controller's own listener is closed to everybody but the node itself: its port is not told.
            "super.users": f"User:{ADMIN};User:ANONYMOUS",
        }

    async def _handshake(self) -> bool:
        """Ask for the metadata as the embedded broker does, as ourselves."""
        client = AIOKafkaClient(**options(self.settings_of(ADMIN)), request_timeout_ms=2_000)
        return await self._knows_itself(client)


class _CreateAcls(CreateAclsRequest):
    def __init__(self, wanted: list[tuple[str, Grant]]) -> None:
        self._wanted = wanted

    def build(self, request_struct_class: type[CreateAclsRequest_v1]) -> CreateAclsRequest_v1:
        return request_struct_class(
            [
                (
                    _TOPIC if grant.kind == "topic" else _GROUP,
                    grant.name,
                    _LITERAL,
                    f"User:{user}",
                    "*",
                    _OPERATIONS[operation],
                    _ALLOW,
                )
                for user, grant in self._wanted
                for operation in grant.operations
            ]
        )

"""A Kafka node that trusts nobody on one of its two doors: TLS, SCRAM-SHA-512 and ACLs.

Knows how to make users and grants. The other door, which `KafkaNode`'s
own methods use, is plain and lets everybody do everything: it stands for the cluster's owner.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
)

from tests.certificates import CERTIFIED_HOST, Authority
from tests.kafka_node import HOST, KafkaNode, keep_port

_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


class SecureKafkaNode(KafkaNode):
    """A node with a second listener: SASL_SSL, whose users may do what they were granted.

    Args:
        directory: of its data.
        users: name → password.
    """

    def __init__(self, directory: Path, users: Mapping[str, str]) -> None:
        super().__init__(directory)
        self._users = dict(users)
        self._secure_port = keep_port(self, None)
        self.authority = Authority.make(directory / "certificates")
        certificate, key = self.authority.sign("broker")
        self._keystore = self.authority.folder / "broker-keystore.pem"
        self._keystore.write_text(key.read_text() + certificate.read_text())

    @property
    def secure_bootstrap(self) -> str:
        """Where users come in, by the name that the certificate has."""
        return f"{CERTIFIED_HOST}:{self._secure_port}"

    @property
    def mismatched_bootstrap(self) -> str:
        """The same door by its address, which the certificate does not name."""
        return f"{HOST}:{self._secure_port}"

    def client_settings(self, user: str, **changes: str) -> dict[str, str]:
        """The [kafka] settings with which a user gets in, for the environment."""
        return {
            "KAFKA__BOOTSTRAP_SERVERS": self.secure_bootstrap,
            "KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA__SSL_CAFILE": str(self.authority.certificate),
            "KAFKA__SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA__SASL_USERNAME": user,
            "KAFKA__SASL_PASSWORD": self._users[user],
            **changes,
        }

    def grant(
        self, user: str, kind: str, name: str, operations: list[str], *, deny: bool = False,
        prefixed: bool = False,
    ) -> None:  # fmt: skip
        """Lets a user do something: `grant("u", "topic", "tips", ["read", "describe"])`."""
        pattern = ACLResourcePatternType.PREFIXED if prefixed else ACLResourcePatternType.LITERAL
        permission = ACLPermissionType.DENY if deny else ACLPermissionType.ALLOW
        resource = ResourcePattern(ResourceType[kind.upper()], name, pattern)
        acls = [
            ACL(f"User:{user}", "*", ACLOperation[each.upper()], permission, resource)
            for each in operations
        ]
        with self._admin() as admin:
            failed = admin.create_acls(acls)["failed"]
        if failed:
            raise RuntimeError(f"no grants: {failed}")

    def _properties(self) -> dict[str, str]:
        plain = super()._properties()
        return plain | {
            "listeners": f"{plain['listeners']},SECURE://{HOST}:{self._secure_port}",
            "advertised.listeners": (
                f"{plain['advertised.listeners']},SECURE://{self.secure_bootstrap}"
            ),
            "listener.security.protocol.map": (
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL"
            ),
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.name.secure.ssl.keystore.type": "PEM",
            "listener.name.secure.ssl.keystore.location": str(self._keystore),
            "listener.name.secure.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.secure.scram-sha-512.sasl.jaas.config": _SCRAM,
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        }

    def _format_options(self) -> list[str]:
        return [
            option
            for name, password in self._users.items()
            for option in ("--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]")
        ]

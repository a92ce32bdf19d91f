"""A Kafka node that the detector reaches through a proxy and the test reaches directly."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Self

from tests.faults.proxy import HOST, Proxy
from tests.kafka_node import KafkaNode

# What a node of this suite does sooner than Kafka's defaults, since faults are many and short.
HASTE = {"group.min.session.timeout.ms": "500", "transaction.max.timeout.ms": "60000"}


class Cluster:
    """One node with two listeners: its own, and one that it advertises under the proxy's port.

    Args:
        directory: the node's.
        config: server properties on top.

    Attributes:
        node: the node; its `bootstrap` is the way that no fault touches.
        proxy: the faulty way.
        bootstrap: of the faulty way: clients that begin there are led back to it by the metadata.
    """

    def __init__(self, directory: Path, config: dict[str, str] | None = None) -> None:
        self._keepers = [_keep_port() for _ in range(3)]
        own, controller, faulty = (each.getsockname()[1] for each in self._keepers)
        self.proxy = Proxy(0, server_port=faulty)
        self.bootstrap = f"{HOST}:{self.proxy.port}"
        listeners = {
            "listeners": f"PLAINTEXT://{HOST}:{own},FAULTY://{HOST}:{faulty},"
            f"CONTROLLER://{HOST}:{controller}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{own},FAULTY://{self.bootstrap}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,FAULTY:PLAINTEXT,"
            "CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "controller.quorum.voters": f"1@{HOST}:{controller}",
        }
        self.node = KafkaNode(directory, own, HASTE | listeners | (config or {}))

    def __enter__(self) -> Self:
        self.node.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.proxy.close()
        self.node.stop()
        for keeper in self._keepers:
            keeper.close()


def _keep_port() -> socket.socket:
    """A port bound without listening: Java binds over it, and nobody else is given it."""
    keeper = socket.socket()
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeper.bind((HOST, 0))
    return keeper

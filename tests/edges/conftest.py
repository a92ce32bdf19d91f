"""A group of its own for each contract test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.edges.contract import Contract
    from tests.kafka_node import KafkaNode


@pytest.fixture
def contract(kafka: KafkaNode, topic_prefix: str) -> Iterator[Contract]:
    """Topics and a group that no other test uses; everything opened on them is closed."""
    from tests.edges.contract import Contract  # only here: kafka-python warns when first imported

    contract = Contract(kafka, topic_prefix)
    contract.create()
    yield contract
    contract.close()

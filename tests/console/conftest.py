"""What tests of the console share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.console.postgresql import PostgreSQL


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """One PostgreSQL server for all tests, started by the first that asks."""
    from tests.console.postgresql import PostgreSQL  # only here: it needs a Kafka client's port

    with PostgreSQL() as server:
        yield server

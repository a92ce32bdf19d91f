"""Puts the parts together as the settings say: used by every command that scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from detector.core.decode import Decoder
from detector.core.engine import Engine
from detector.core.event import EventReader
from detector.core.examples import check_examples
from detector.edges.files import find, load_mapping, load_policy, shipped_config
from detector.runtime.lane import Lane, OutputTopics
from detector.runtime.ports import Partition
from detector.settings import Settings, load_settings


class Assembly:
    """Decoder, policy and engines as one configuration has them.

    Args:
        settings: all settings.
        beside: the operator's config file; mappings and packs are looked for beside it.
        mapping: a mapping's name or file instead of the configured one; None for the configured.

    Raises:
        MappingError, PolicyError: a file cannot be used.
    """

    def __init__(
        self, settings: Settings, beside: Path | None = None, mapping: str | None = None
    ) -> None:
        self.settings = settings
        self.currencies = settings.make_currencies()
        self.policy = load_policy(settings.policy.pack, self.currencies, beside)
        self.policy_file = find(settings.policy.pack, "policies", beside)
        self.mapping = load_mapping(settings.input.mapping if mapping is None else mapping, beside)
        self.reader = EventReader(self.currencies, settings.make_event_limits())
        self.decoder = Decoder(self.reader, self.mapping, settings.input.max_record_bytes)
        self._engine_config = settings.make_engine_config()

    @classmethod
    def load(cls, config: Path | None, mapping: str | None = None) -> Assembly:
        """From the operator's config file, or the shipped defaults alone.

        Raises:
            ConfigError, MappingError, PolicyError: with every problem found in that file.
        """
        settings = load_settings(config, shipped_config() / "detector.toml")
        return cls(settings, config, mapping)

    def make_engine(self) -> Engine:
        """A fresh engine."""
        return Engine(self._engine_config, self.policy, self.currencies)

    def make_lane(self, partition: Partition) -> Lane:
        """A fresh lane for a partition."""
        topics = self.settings.topics
        return Lane(
            partition,
            self.decoder,
            self.make_engine(),
            OutputTopics(
                topics.flags, topics.dead_letters, topics.scores if topics.write_scores else None
            ),
            f"{self.policy.name}@{self.policy.digest}",
        )

    def build(self) -> dict[str, str]:
        """What runs, for `build_info`."""
        return {
            "policy": f"{self.policy.name} {self.policy.version}",
            "policy_hash": self.policy.digest,
            "mapping": "canonical" if self.mapping is None else self.mapping.name,
        }

    def check_policy(self) -> list[str]:
        """One line for each example of the pack that does not do what it says."""
        config = replace(self._engine_config, case_cool_down_ms=0)
        return check_examples(
            str(self.policy_file),
            self.policy.rules,
            lambda: (Engine(config, self.policy, self.currencies), self.reader),
        )

"""Puts the parts together as the settings say: used by every command that scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from detector.core.decode import Decoder
from detector.core.engine import VIEWS, Engine
from detector.core.engine_config import EngineConfig
from detector.core.event_reader import EventReader
from detector.core.examples import check_examples
from detector.core.policy import Policy
from detector.core.shadow import Candidate
from detector.edges.files import find, load_mapping, load_policy, shipped_config
from detector.edges.pseudonyms import load_pseudonyms
from detector.runtime.lane import Lane, OutputTopics, RekeyedLane, Rules, TipsLane
from detector.runtime.ports import Partition, VerdictLog
from detector.runtime.rekey import Rekeyer, View
from detector.runtime.verdicts import Clerk, Learner
from detector.settings import Settings, load_settings
from detector.shadow_settings import Trial, load_shadow
from detector.snooze_settings import load_snoozes


class Assembly:
    """Decoder, policy and engines as one configuration has them.

    Args:
        settings: all settings.
        beside: the operator's config file; mappings and packs are looked for beside it.
        mapping: a mapping's name or file instead of the configured one; None for the configured.

    Attributes:
        shadow: the pack and the thresholds on trial; None without one.
        pseudonyms: makes ids what the decoder gives; None where they stay as they are.

    Raises:
        ConfigError: the shadow's or the snoozes' file or the key cannot be used.
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
        self.reader = EventReader(
            self.currencies, settings.make_event_limits(), settings.make_lexicon()
        )
        self.pseudonyms = load_pseudonyms(settings.pseudonyms)
        conceal = None if self.pseudonyms is None else self.pseudonyms.conceal
        self.decoder = Decoder(self.reader, self.mapping, settings.input.max_record_bytes, conceal)
        id_prefix = "" if self.pseudonyms is None else self.pseudonyms.prefix
        snoozes = load_snoozes(settings.snoozes.file, beside, id_prefix)
        self._engine_config = settings.make_engine_config(snoozes)
        self._trial = load_shadow(settings, beside, shipped_config() / "detector.toml")
        self.shadow = None if self._trial is None else self._load_candidate(self._trial)

    def _load_candidate(self, trial: Trial) -> Candidate:
        policy = load_policy(trial.settings.policy.pack, self.currencies, trial.beside)
        return Candidate(policy, trial.settings.make_thresholds())

    @classmethod
    def load(cls, config: Path | None, mapping: str | None = None) -> Assembly:
        """From the operator's config file, or the shipped defaults alone.

        Raises:
            ConfigError, MappingError, PolicyError: with every problem found in that file.
        """
        settings = load_settings(config, shipped_config() / "detector.toml")
        return cls(settings, config, mapping)

    def make_engine(self, views: frozenset[str] = VIEWS, dedupe: bool = True) -> Engine:
        """A fresh engine; with both views unless told otherwise."""
        ids = None if self.pseudonyms is None else self.pseudonyms.fingerprint
        return Engine(
            self._engine_config, self.policy, self.currencies, views, dedupe, self.shadow, ids
        )

    def rules(self) -> Rules:
        """What running lanes are to judge by, where they judged by another configuration."""
        return Rules(self.decoder, self._policy_name, self._configure)

    def _configure(self, engine: Engine) -> None:
        engine.reconfigure(self._engine_config, self.policy, self.currencies, self.shadow)

    @property
    def _policy_name(self) -> str:
        return f"{self.policy.name}@{self.policy.digest}"

    def make_plain_decoder(self) -> Decoder:
        """A decoder that leaves ids as they are: for what speaks the platform's language."""
        return Decoder(self.reader, self.mapping, self.settings.input.max_record_bytes)

    @property
    def rekeyed_views(self) -> tuple[View, ...]:
        """The views that the tips topic's key does not serve."""
        views: tuple[View, ...] = ("streamer", "tipper")
        return tuple(view for view in views if view != self.settings.topics.tips_key)

    def make_lane(self, partition: Partition, rekeyed_partitions: int) -> Lane:
        """A fresh lane for a partition of the tips topic or of the internal one.

        Args:
            partition: which one.
            rekeyed_partitions: of the internal topic.
        """
        topics = self.settings.topics
        outputs = OutputTopics(
            topics.flags, topics.accounts, topics.dead_letters, self.settings.rekeyed_topic,
            topics.scores if topics.write_scores else None,
        )  # fmt: skip
        policy = self._policy_name
        if partition.topic == self.settings.rekeyed_topic:
            engines = {
                view: self.make_engine(frozenset({view}), dedupe=False)
                for view in self.rekeyed_views
            }
            return RekeyedLane(partition, engines, self.settings.merge.max_waiting, outputs, policy)
        rekeyers = [
            Rekeyer(partition.partition, rekeyed_partitions, view) for view in self.rekeyed_views
        ]
        engine = self.make_engine(VIEWS - set(self.rekeyed_views))
        return TipsLane(partition, self.decoder, engine, rekeyers, outputs, policy)

    def make_learner(self, lane: Lane, verdicts: VerdictLog) -> Learner:
        """What teaches a lane; that of the first partition of tips also keeps the books."""
        topics, at = self.settings.topics, lane.partition
        is_first = at == Partition(topics.tips, 0)
        clerk = Clerk(topics.verdicts, topics.dead_letters, self._policy_name) if is_first else None
        return Learner(at, verdicts, lane.engines, clerk)

    def build(self) -> dict[str, str]:
        """What runs, for `build_info`."""
        return {
            "policy": f"{self.policy.name} {self.policy.version}",
            "policy_hash": self.policy.digest,
            "mapping": "canonical" if self.mapping is None else self.mapping.name,
        }

    def check_policy(self) -> list[str]:
        """One line for each example of the pack, and of the shadow's, that does not do what it
        says."""
        lines = self._check_examples(self.policy_file, self.policy, self._engine_config)
        if self._trial is not None and self.shadow is not None:
            file = find(self._trial.settings.policy.pack, "policies", self._trial.beside)
            if (file, self.shadow.thresholds) != (self.policy_file, self._engine_config.thresholds):
                config = replace(self._engine_config, thresholds=self.shadow.thresholds)
                lines += self._check_examples(file, self.shadow.policy, config)
        return lines

    def _check_examples(self, file: Path, policy: Policy, config: EngineConfig) -> list[str]:
        config = replace(config, case_cool_down_ms=0, standing_snoozes={})
        return check_examples(
            str(file), policy.rules, lambda: (Engine(config, policy, self.currencies), self.reader)
        )

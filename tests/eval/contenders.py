"""Who is compared: the detector as shipped, and detectors that know no kinds of case.

The others get the best threshold there is for as many alarms as the detector raised.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from detector.assembly import Assembly
from detector.core.decision import Decision
from detector.lab.baselines import BASELINES, Baseline, Figures
from detector.lab.measures import ANY_KIND, Alarm, is_at_least, merged, within_budget
from detector.settings import load_settings
from tests.engines import RECEIVED_MS, ROOT
from tests.eval.mixes import KINDS
from tests.eval.stream import ANY, Said, Stream

OURS = "tip-detector"


class RobustForest:
    """A robust random cut forest of the library `rrcf` over the same figures as the trees'."""

    TREES, SIZE = 4, 64

    def __init__(self) -> None:
        import numpy
        import rrcf

        self._array, self._figures, self._count = numpy.array, Figures(), 0
        self._trees = [rrcf.RCTree(random_state=seed) for seed in range(self.TREES)]

    def score(self, tip: Mapping[str, Any]) -> float:
        point = self._array(list(self._figures.of(tip).values()))
        total = 0.0
        for tree in self._trees:
            if self._count >= self.SIZE:
                tree.forget_point(self._count - self.SIZE)
            tree.insert_point(point, index=self._count)
            total += float(tree.codisp(self._count))
        self._count += 1
        return total / self.TREES


def others() -> dict[str, Callable[[], Baseline]]:
    """The baselines by name, with those of other libraries that are installed."""
    contenders = dict(BASELINES)
    if importlib.util.find_spec("rrcf") is not None:
        contenders["robust random cut forest (rrcf)"] = RobustForest
    return contenders


def ours(events: Iterable[Mapping[str, Any]], environment: Mapping[str, str]) -> Said:
    """What the detector says, with the shipped settings but for some."""
    assembly = Assembly(load_settings(None, ROOT / "config" / "detector.toml", environment))
    engine, said = assembly.make_engine(), Said()
    for event in events:
        decision = engine.process(assembly.reader.read(dict(event), RECEIVED_MS))
        if not isinstance(decision, Decision):
            continue
        scores = decision.to_record()["scores"]
        said.scores[event["event_id"]] = {kind: score for kind, score in scores.items() if score}
        said.alarms += [Alarm.of_flag(flag.record) for flag in decision.flags if flag.kind in KINDS]
    return said


def theirs(stream: Stream, make: Callable[[], Baseline], budget: int, cool_down_ms: int) -> Said:
    """What a baseline says, with the best threshold for a number of alarms."""
    baseline, scored, said = make(), [], Said()
    for event, _ in stream.made:
        if event["type"] != "tip":
            continue
        score = baseline.score(event)
        subject = "tipper", event["tipper_id"]
        alarm = Alarm(ANY_KIND, "medium", subject, event["event_id"], event["event_time"])
        scored.append((score, alarm))
        said.scores[event["event_id"]] = dict.fromkeys((*KINDS, ANY), score)
    threshold = within_budget(scored, budget, cool_down_ms)
    said.alarms = merged((alarm for score, alarm in scored if score >= threshold), cool_down_ms)
    return said


def budget_of(said: Said) -> int:
    """How many alarms a reviewer had to read."""
    return sum(is_at_least(alarm, "medium") for alarm in said.alarms)

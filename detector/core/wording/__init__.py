"""What a reviewer reads: code of a reason → (English, Chinese), a file a part of the engine."""

from detector.core.wording.rules import RULES
from detector.core.wording.streamer import STREAMER
from detector.core.wording.tipper import TIPPER

WORDS: dict[str, tuple[str, str]] = {**RULES, **TIPPER, **STREAMER}
"""Every code that a detector uses. Filled in: {observed}, {usual}, {limit}, {unit} and {n}."""

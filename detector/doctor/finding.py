"""What a check found, in one shape for people and for programs. Knows no check."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: `fail`: a run will not do its work; `warn`: it will, but something may surprise.
        check: what kind of thing: config, broker, rights, topics, mapping, clock, group, state,
            links.
        what: what was found, with the name of the thing. No personal data, no secret.
        why: why that matters; empty where all is well.
        do: what to do about it; empty where all is well.
    """

    level: Level
    check: str
    what: str
    why: str = ""
    do: str = ""


def to_record(findings: Sequence[Finding]) -> dict[str, Any]:
    """All findings as one JSON object: `ok`, whether none failed; `findings`."""
    return {"ok": not any_failed(findings), "findings": [asdict(each) for each in findings]}


def any_failed(findings: Sequence[Finding]) -> bool:
    """Whether a run should not be started."""
    return any(each.level == "fail" for each in findings)


def to_text(findings: Sequence[Finding]) -> str:
    """All findings for people.

    >>> print(to_text([Finding("ok", "broker", "one answers"),
    ...                Finding("warn", "topics", "tips: gone", "nothing to read", "make it")]))
    ok    broker: one answers
    warn  topics: tips: gone
          why: nothing to read
          do:  make it
    1 ok, 1 warn, 0 fail
    """
    lines = []
    for each in findings:
        lines.append(f"{each.level:4}  {each.check}: {each.what}")
        lines += [f"      why: {each.why}"] if each.why else []
        lines += [f"      do:  {each.do}"] if each.do else []
    count = Counter(each.level for each in findings)
    lines.append(f"{count['ok']} ok, {count['warn']} warn, {count['fail']} fail")
    return "\n".join(lines)

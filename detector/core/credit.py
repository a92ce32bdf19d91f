"""Credit: a record for each account that cases have cost points, kept on event time alone.

The meeting of China's internet regulator with eight other bodies on 2020-08-03 asked platforms for
a credit rating of live-stream accounts (网络直播账号信用评价体系); no formula was ever published.
The model here is the health score that Douyin's live platform has made public: it starts at 100 and
is 120 at most; a violation costs 1 to 8 points, and 1 to 5 more with a larger audience. (A trial
from 2023-09 is reported; its formal start could not be seen.) How points are given within these
ranges, the share that an open case costs, recovery and tiers are this program's own, or the
operator's:

    start       100 when the account was first seen
    clean time  gives `recovery_per_week`, up to 120; it begins anew after each finding
    a case      costs 1 to 8 by severity and size, a streamer 0 to 5 more by audience; only
                `open_share` of it until a reviewer confirms it, nothing once it was found false

An account that never lost a point has no record: it stands at 100 or above. A record says how
closely to look. It changes no threshold and proves no guilt.
"""

from __future__ import annotations

from collections import Counter
from heapq import heapify, heappop, heappush
from typing import Any, Literal, get_args

import detector
from detector.core.account import NEVER_MS, Account, CreditRules, Mark, Status, Tier
from detector.core.fusion import Flag
from detector.core.generations import Generations
from detector.core.prominence import Prominences
from detector.core.reasons import SEVERITIES
from detector.core.wording.credit import CREDIT, KIND_WORDS, SEVERITY_WORDS

SubjectType = Literal["tipper", "streamer"]
SUBJECT_TYPES: tuple[SubjectType, ...] = get_args(SubjectType)

Attention = Literal["normal", "raised", "close"]
ATTENTION: tuple[Attention, ...] = get_args(Attention)
"""How closely to look: a top streamer is looked at a step more closely than others."""

MAX_REASONS = 5
"""Reasons that a record tells, the newest."""

Record = dict[str, Any]

_DAY_MS = 86_400_000
_SEVERITY_POINTS = (1.0, 3.0, 6.0)  # low, medium, high
_SIZES = (3.0, 10.0)  # times the limit; each that is reached costs a point more
_SIZE_FAMILIES = ("amount", "money_flow")
_CARE_KINDS = ("minor", "outsized", "binge", "cap")
_CARE_SHARE = 0.5  # of a tipper's points: they call for care rather than for blame
_RECOVERED_AT_ONCE = 20
_STALE_AT_LEAST = 100
_MEDIUM = SEVERITIES.index("medium")


class Credit:
    """The accounts of one engine that ever lost points.

    Args:
        rules: what the operator sets.
        prominences: how large the audience of a streamer is, and who is a top one.

    Attributes:
        accounts: `subject type|subject id` → account.
        waiting: records that verdicts changed, to be written with the next decision.
    """

    def __init__(self, rules: CreditRules, prominences: Prominences) -> None:
        self._rules = rules
        self._prominences = prominences
        self.accounts: Generations[Account] = Generations(rules.max_entries, rules.idle_ms)
        self.waiting: list[Record] = []
        self._due: list[tuple[int, str]] = []  # a heap; what is not its account's `due_ms` is stale

    def take_waiting(self) -> list[Record]:
        """The records in `waiting`, which is empty after it."""
        taken, self.waiting = self.waiting, []
        return taken

    def save(self) -> dict[str, Any]:
        """What is not in `accounts`, JSON-able."""
        return {"waiting": self.waiting}

    def load(self, saved: dict[str, Any]) -> None:
        """Takes over what `save` gave.

        Raises:
            KeyError, TypeError: it is something else.
        """
        self.waiting = list(saved["waiting"])

    def flagged(self, flag: Flag, now_ms: int) -> Record | None:
        """Takes the points of a flag's case; the account's record if it changed.

        Args:
            flag: one that is written; what is said of one case costs once, at its gravest.
            now_ms: the watermark, epoch ms.
        """
        record = flag.record
        key = f"{record['subject']['type']}|{flag.subject_id}"
        rank, points = SEVERITIES.index(flag.severity), self._points(flag)
        before = self.accounts.get(key) or Account.known_since(self._known_since(flag))
        at_ms, case_id = flag.event_time_ms, record["case_id"]
        mark = next((each for each in before.marks if each.case_id == case_id), None)
        if mark is None:
            mark = Mark(case_id, flag.kind, rank, points, "open", at_ms, at_ms)
        else:
            is_news = mark.status == "dismissed" and rank > mark.rank
            mark = mark._replace(
                rank=max(rank, mark.rank),
                points=max(points, mark.points),
                status="open" if is_news else mark.status,
                last_ms=max(at_ms, mark.last_ms),
            )
        return self._keep(key, before, before.marked(mark, self._rules), now_ms)

    def judged(
        self, kind: str, subject: tuple[str, str], judgement: str, now_ms: int,
        case_id: str | None = None,
    ) -> Record | None:  # fmt: skip
        """Settles a case as a reviewer found it; the account's record if it changed.

        One that is confirmed and has left no mark, mostly since it was never flagged, costs what a
        medium one does.

        Args:
            kind: of the case.
            subject: (`tipper` or `streamer`, id).
            judgement: `confirmed`, `false_positive`, or `unclear`: it is open, or open again.
            now_ms: the watermark, epoch ms.
            case_id: which case; None for the newest of the kind.
        """
        key = "|".join(subject)
        account = self.accounts.get(key)
        if account is None and judgement != "confirmed":
            return None
        before = account or Account.known_since(now_ms)
        for index in reversed(range(len(before.marks))):
            mark = before.marks[index]
            if mark.kind == kind and case_id in (None, mark.case_id):
                settled = mark._replace(status=_judged(mark.status, judgement))
                after = before.replaced(index, settled)
                return self._keep(key, before, after, now_ms)
        if judgement != "confirmed":
            return None
        points = _shared(_SEVERITY_POINTS[_MEDIUM], kind, subject[0])
        status: Status = "missed" if case_id is None else "confirmed"
        mark = Mark(case_id or "", kind, _MEDIUM, points, status, now_ms, now_ms)
        return self._keep(key, before, before.marked(mark, self._rules), now_ms)

    def recovered(self, now_ms: int) -> list[Record]:
        """The records of accounts that clean time has raised by a whole point or more.

        A few at a time, those that waited longest first: after a gap in the stream many are due.

        Args:
            now_ms: the watermark, epoch ms; with nothing due before `due_ms`, none is looked for.
        """
        records: list[Record] = []
        while now_ms >= self.due_ms and len(records) < _RECOVERED_AT_ONCE:
            due_ms, key = heappop(self._due)
            account = self.accounts.get(key)
            if account is not None and account.due_ms == due_ms:
                record = self._keep(key, account, account, now_ms)
                if record is not None:
                    records.append(record)
        return records

    def schedule(self) -> None:
        """To be called after `accounts` were loaded: finds out anew when each is due."""
        self._due = [(account.due_ms, key) for key, account in self.accounts.items()]
        heapify(self._due)

    @property
    def due_ms(self) -> int:
        """When the next account will have recovered a point, epoch ms."""
        return self._due[0][0] if self._due else NEVER_MS

    def tiers(self) -> Counter[tuple[str, Tier]]:
        """How many accounts are in each tier, by (subject type, tier), as their records say.

        Looks at every account.
        """
        scores = Counter((key.partition("|")[0], each.told) for key, each in self.accounts.items())
        tiers: Counter[tuple[str, Tier]] = Counter()
        for (subject_type, score), count in scores.items():
            tiers[subject_type, self._rules.tier(score)] += count
        return tiers

    def _keep(self, key: str, before: Account, after: Account, now_ms: int) -> Record | None:
        """Remembers the account, and tells of it if its score, or a reason, is another one."""
        after = after.mark_told(now_ms, self._rules)
        self.accounts.put(key, after, now_ms)
        heappush(self._due, (after.due_ms, key))
        if len(self._due) > 2 * len(self.accounts) + _STALE_AT_LEAST:
            self.schedule()
        reasons = self._reasons(after)
        if after.told == before.told and reasons == self._reasons(before):
            return None
        return self._record(key, after, reasons, now_ms)

    def _reasons(self, account: Account) -> list[Record]:
        """The newest marks that cost points."""
        costing = [mark for mark in reversed(account.marks) if mark.status != "dismissed"]
        return [_reason(mark, self._rules) for mark in costing[:MAX_REASONS]]

    def _record(self, key: str, account: Account, reasons: list[Record], now_ms: int) -> Record:
        subject_type, _, subject_id = key.partition("|")
        tier = self._rules.tier(account.told)
        is_top = subject_type == "streamer" and self._prominences.is_top(subject_id)
        return {
            "subject": {"type": subject_type, "id": subject_id},
            "score": account.told,
            "tier": tier,
            "is_top": is_top,
            "attention": _attention(tier, is_top),
            "since": account.since_ms,
            "updated_at": now_ms,
            "reasons": reasons,
            "version": detector.__version__,
        }

    def _points(self, flag: Flag) -> float:
        """What a case costs in full, by what this flag says of it."""
        subject = flag.record["subject"]
        ratio: float = max(
            (
                reason["observed"] / reason["limit"]
                for reason in flag.record["reasons"]
                if reason["family"] in _SIZE_FAMILIES
                and reason["limit"]
                and not reason["code"].startswith("benign_")
            ),
            default=0.0,
        )
        points = _SEVERITY_POINTS[SEVERITIES.index(flag.severity)]
        points += sum(ratio >= size for size in _SIZES)
        if subject["type"] == "streamer":
            return points + self._prominences.audience(flag.subject_id)
        return _shared(points, flag.kind, subject["type"])

    def _known_since(self, flag: Flag) -> int:
        """When the account was first seen, epoch ms."""
        at_ms = flag.event_time_ms
        if flag.record["subject"]["type"] == "streamer":
            first_ms = self._prominences.first_ms(flag.subject_id)
            return at_ms if first_ms is None else min(first_ms, at_ms)
        return at_ms - int(flag.record["features"].get("days_known", 0.0) * _DAY_MS)


def _judged(status: Status, judgement: str) -> Status:
    if judgement == "false_positive":
        return "dismissed"
    if status == "missed":
        return "missed"
    return "confirmed" if judgement == "confirmed" else "open"


def _shared(points: float, kind: str, subject_type: str) -> float:
    """A tipper's share of the points."""
    return points * _CARE_SHARE if subject_type == "tipper" and kind in _CARE_KINDS else points


def _attention(tier: Tier, is_top: bool) -> Attention:
    if tier == "D" or (is_top and tier != "A"):
        return "close"
    return "raised" if tier == "C" or is_top else "normal"


def _reason(mark: Mark, rules: CreditRules) -> Record:
    code, points = f"case_{mark.status}", mark.cost(rules)
    kind, severity = KIND_WORDS[mark.kind], SEVERITY_WORDS[SEVERITIES[mark.rank]]
    english, chinese = (
        words.format(kind=kind[index], severity=severity[index], points=f"{points:g}")
        for index, words in enumerate(CREDIT[code])
    )
    return {
        "code": code,
        "points": round(-points, 2),
        "case_id": mark.case_id or None,
        "kind": mark.kind,
        "at": mark.opened_ms,
        "text": {"en": english, "zh": chinese},
    }

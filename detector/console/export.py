"""A case as a file that leaves the house: for a report channel, or beside a refund claim.

Knows what such a file holds, and what has to be added by hand since the detector cannot know it:
after what the channels and the platforms' refund pages ask for, as far as it could be read. Ids,
devices and words stand in it only where who asks may have them; otherwise ids are pseudonyms.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from hashlib import blake2b
from typing import Any
from zoneinfo import ZoneInfo

from detector.console.model import (
    CaseView,
    Channel,
    Decision,
    EvidenceView,
    ExportView,
    Language,
    ReasonView,
    TimelineEvent,
)

FORMAT = 1
"""Of the document: grows when a field changes its meaning."""

_NOTICE = {
    "en": "A detector's findings and a reviewer's decision, no court's. Whether a tip is a gift or "
    "consumption is disputed: hold and refer, never claw back by itself.",
    "zh": "本文件为检测结果与审核员判断，并非司法认定。打赏属赠与还是消费存在争议："
    "应暂缓结算并移送处理，不得自动追回。",
}
_TO_ADD: dict[str, tuple[tuple[str, str], ...]] = {
    "12377": (
        ("screenshots, and a recording with its digest", "截图，以及录屏及其哈希值"),
        ("the address of the room or the account", "直播间或账号的网址"),
        ("your contact", "举报人联系方式"),
    ),
    "12318": (
        ("screenshots, and a recording with its digest", "截图，以及录屏及其哈希值"),
        ("the address of the room or the account", "直播间或账号的网址"),
        ("your contact", "举报人联系方式"),
    ),
    "12315": (
        ("proof of the payments", "支付凭证"),
        ("what was asked of the platform, and its answer", "与平台协商的经过与答复"),
        ("your contact", "投诉人联系方式"),
    ),
    "refund": (
        ("identity papers of the child and of the guardian", "未成年人与监护人的身份证明"),
        ("proof of their relation", "监护关系证明"),
        ("proof of who used the device", "设备使用情况的证明"),
        ("the guardian's statement", "监护人情况说明"),
        ("earlier claims of the family", "该家庭此前的退款申请"),
    ),
}
_MONEY_TYPES = ("tip", "recharge", "payout", "refund")


class Pseudonyms:
    """Names for ids: the same for the same id.

    Args:
        key: whoever has it can tell whether an id is meant; empty: one that nobody has.
        are_used: False to leave ids as they are.

    >>> names = Pseudonyms("k", are_used=True)
    >>> names.of("tipper", "t1") == names.of("tipper", "t1") != names.of("tipper", "t2")
    True
    """

    def __init__(self, key: str, are_used: bool) -> None:
        self.are_used = are_used
        self._key = blake2b(key.encode() or secrets.token_bytes(32)).digest()

    def of(self, kind: str, found: str) -> str:
        """An id's name; empty for an empty one."""
        if not self.are_used or not found:
            return found
        digest = blake2b(f"{kind}|{found}".encode(), digest_size=6, key=self._key)
        return f"{kind}-{digest.hexdigest()}"


class Exporter:
    """Makes export files.

    Args:
        zone: that times are told in.
        key: of the pseudonyms; empty: fresh ones for each file.
    """

    def __init__(self, zone: ZoneInfo, key: str) -> None:
        self._zone = zone
        self._key = key

    def export(
        self, case: CaseView, evidence: EvidenceView, channel: Channel, language: Language,
        is_pseudonymised: bool, now_ms: int,
    ) -> ExportView:  # fmt: skip
        """The file's content.

        Args:
            case, evidence: what is known.
            channel: whom it is for.
            language: of its sentences.
            is_pseudonymised: whether ids are replaced, and devices and words left out.
            now_ms: epoch ms.
        """
        names = Pseudonyms(self._key, is_pseudonymised)
        row = case.row
        document: dict[str, Any] = {
            "format": FORMAT,
            "channel": channel,
            "made_at": self._time(now_ms),
            "zone": str(self._zone),
            "language": language,
            "is_pseudonymised": is_pseudonymised,
            "notice": _NOTICE[language],
            "case": {
                "case_id": row.case_id,
                "kind": row.kind,
                "severity": row.severity,
                "state": row.state,
                "opened_at": self._time(row.opened_ms),
                "last_at": self._time(row.last_ms),
                "flags": row.flags,
            },
            "subject": {"type": row.subject_type, "id": names.of(row.subject_type, row.subject_id)},
            "finding": row.sentence[language],
            "reasons": [_reason(each, language) for each in case.reasons],
            "policy": case.policy,
            "detector": case.detector,
            "evidence": {
                "status": evidence.status,
                "cut_by": evidence.cut_by,
                "from": self._time(evidence.since_ms) if evidence.since_ms else None,
                "until": self._time(evidence.until_ms) if evidence.until_ms else None,
                "base_currency": evidence.currency,
            },
            "orders": [
                self._event(each, row.subject_type, names)
                for each in evidence.events
                if each.type in _MONEY_TYPES
            ],
            "room": [
                {"at": self._time(each.at_ms), "event": each.detail, "room_id": each.room}
                for each in evidence.events
                if each.type == "room" and not is_pseudonymised
            ],
            "money": [
                {
                    "from": {"type": edge.source[0], "id": names.of(*edge.source)},
                    "to": {"type": edge.target[0], "id": names.of(*edge.target)},
                    "value": edge.value,
                    "count": edge.count,
                }
                for edge in evidence.edges
            ],
            "decisions": [self._decision(each, names) for each in case.decisions],
            "to_add": [en if language == "en" else zh for en, zh in _TO_ADD[channel]],
        }
        if not is_pseudonymised:
            document["devices"] = [
                {"id": name, "first_seen": self._time(at_ms), "events": count}
                for name, at_ms, count in evidence.devices
            ]
            document["instruments"] = [
                {"id": name, "holder": holder, "first_seen": self._time(at_ms), "events": count}
                for name, holder, at_ms, count in evidence.instruments
            ]
        return ExportView(channel, row.case_id, language, is_pseudonymised, document)

    def _event(self, event: TimelineEvent, subject_type: str, names: Pseudonyms) -> dict[str, Any]:
        other = "streamer" if subject_type == "tipper" else "tipper"
        if event.type == "payout":
            other = "account"
        record = {
            "order": names.of("order", event.event_id),
            "at": self._time(event.at_ms),
            "type": event.type,
            "amount": event.amount,
            "currency": event.currency,
            "value": event.value,
            "other_side": names.of(other, event.who),
            "detail": event.detail,
            "room_id": names.of("room", event.room),
            "is_flagged": event.is_flagged,
        }
        return record if names.are_used else {**record, "message": event.message}

    def _decision(self, decision: Decision, names: Pseudonyms) -> dict[str, Any]:
        record = {
            "at": self._time(decision.at_ms),
            "act": decision.act,
            "by": names.of("reviewer", decision.by),
            "is_undone": decision.is_undone,
        }
        return record if names.are_used else {**record, "note": decision.note}

    def _time(self, ms: int) -> str:
        """RFC 3339 with the zone's offset."""
        return datetime.fromtimestamp(ms / 1000, self._zone).isoformat(timespec="seconds")


def _reason(reason: ReasonView, language: Language) -> dict[str, Any]:
    return {
        "sentence": reason.text[language],
        "family": reason.family,
        "speaks": "against" if reason.is_benign else "for",
        "observed": reason.observed,
        "usual": reason.usual,
        "limit": reason.limit,
        "unit": reason.unit,
        "n": reason.n,
        "rule": reason.rule,
        "source": reason.source,
        "confidence": reason.confidence,
    }

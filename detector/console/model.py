"""What the console's pages show: plain frozen records, ready to be rendered.

Knows the words of the review: cases, decisions, evidence, users. Does not know where any of it
comes from (`store`, `evidence`), nor how it looks (`pages`). Times are epoch ms, money is in major
units of the currency named beside it, ids are the platform's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

Role = Literal["reader", "reviewer"]
"""A reader looks and exports under pseudonyms; a reviewer also decides and may export ids."""

State = Literal["open", "snoozed", "confirmed", "false_positive", "expired"]
"""Where a case stands: it waits; waits, but not before a time; was decided; nobody decided it in
time. `open` and `snoozed` may be marked as unclear."""
STATES: tuple[State, ...] = get_args(State)

StateFilter = Literal["open", "unclear", "mine", "snoozed", "closed", "expired", "all"]
"""What the queue can show: `closed` is confirmed or false_positive, `unclear` the open ones that a
reviewer could not settle, `mine` the open ones handed to who asks."""
STATE_FILTERS: tuple[StateFilter, ...] = get_args(StateFilter)

Act = Literal["confirmed", "false_positive", "unclear", "undo", "snooze", "wake", "hand_over"]
"""What a reviewer can do to a case; the first three and `undo` are verdicts in Kafka."""
ACTS: tuple[Act, ...] = get_args(Act)

MAX_NOTE_CHARS = 1_000
UNDO_MS = 60_000
"""How long after a decision its reviewer can take it back."""


class User(NamedTuple):
    """Who asks."""

    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class View:
    """What every page needs to know of who looks at it.

    Attributes:
        user: who.
        language: of the page.
        zone: IANA name of the zone that all times are shown in.
        csrf: token for the hidden field `csrf` of every form.
        url: path and query of this page, for the language switch and for coming back.
        now_ms: when the page was made.
        is_fragment: only the part that changes is asked for: the queue's list, the evidence.
    """

    user: User
    language: Language
    zone: str
    csrf: str
    url: str
    now_ms: int
    is_fragment: bool = False


# -- the queue -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class QueueFilter:
    """Which cases are asked for; an empty text or None asks for all.

    Attributes:
        since_ms, until_ms: of the case's newest flag, event time; the end is excluded.
        is_shadow: those of a policy on trial instead of the live ones.
        page: from 1.
    """

    kind: str = ""
    severity: str = ""
    state: StateFilter = "open"
    streamer: str = ""
    tipper: str = ""
    since_ms: int | None = None
    until_ms: int | None = None
    is_shadow: bool = False
    page: int = 1


@dataclass(frozen=True, slots=True)
class QueueRow:
    """One case in the queue.

    Attributes:
        sentence: the leading reason, by language.
        observed, usual, limit, unit: the leading reason's figures.
        opened_ms, last_ms: event time of its first and its newest flag.
        arrived_ms, changed_ms: when its first flag came, and when anything last happened to it,
            by the broker's clock.
        flags: how many it has.
        is_unclear: a reviewer looked and could not say.
        is_paged: False where nobody was paged, since a storm went on.
        is_new: something happened to it since this user last marked the queue as seen.
        owner: whom it was handed to; empty: nobody.
        until_ms: end of the snooze; None without one.
        version: how many things have happened to it; goes back with a decision.
    """

    case_id: str
    kind: str
    severity: str
    score: float
    action: str
    state: State
    subject_type: str
    subject_id: str
    sentence: dict[str, str]
    observed: float
    usual: float | None
    limit: float | None
    unit: str
    opened_ms: int
    last_ms: int
    arrived_ms: int
    changed_ms: int
    flags: int
    version: int
    is_unclear: bool = False
    is_paged: bool = True
    is_new: bool = False
    is_shadow: bool = False
    owner: str = ""
    until_ms: int | None = None
    flag_id: str = ""


@dataclass(frozen=True, slots=True)
class QueuePage:
    """A page of the queue, worst first.

    Attributes:
        counts: (kind, severity) → open cases, whatever the filter says; equal to the gauge
            `tip_detector_console_open_cases`.
        total: cases that the filter lets through.
        new: of those, how many changed since this user last looked.
        revision: changes with anything in the queue; pages poll `/changes` for it.
        lag_records: records of the topics that are not in here yet; None while unknown.
        is_rebuilding: the topics are read from their start, so that cases may be missing.
    """

    filter: QueueFilter
    rows: tuple[QueueRow, ...]
    counts: dict[tuple[str, str], int]
    total: int
    pages: int
    new: int
    revision: str
    lag_records: int | None = 0
    is_rebuilding: bool = False


# -- a case --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReasonView:
    """One piece of evidence, for or against.

    Attributes:
        text: the sentence, by language.
        rule: id of the policy's rule; empty for statistical evidence.
        source: where the rule comes from; empty if it has none or the pack is another one now.
        confidence: how well that source was read: R, S or `operator`; empty likewise.
        is_benign: speaks against the finding.
    """

    code: str
    family: str
    text: dict[str, str]
    observed: float
    usual: float | None
    limit: float | None
    unit: str
    n: int
    rule: str = ""
    source: str = ""
    confidence: str = ""
    is_benign: bool = False


@dataclass(frozen=True, slots=True)
class FlagView:
    """A flag of the case, in brief."""

    flag_id: str
    event_id: str
    event_time_ms: int
    arrived_ms: int
    severity: str
    score: float
    is_update: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """Something that somebody did to a case. Nothing here is ever changed or deleted by hand.

    Attributes:
        act: what.
        at_ms: when.
        by: who; for verdicts from elsewhere, the reviewer they name.
        note: in the reviewer's words.
        until_ms: `snooze`: its end.
        to: `hand_over`: to whom.
        flag_id: the flag that a verdict judged.
        is_undone: taken back later, by an `undo` that is a decision of its own.
    """

    act: Act
    at_ms: int
    by: str
    note: str = ""
    until_ms: int | None = None
    to: str = ""
    flag_id: str = ""
    is_undone: bool = False


@dataclass(frozen=True, slots=True)
class AccountView:
    """The credit record of the subject.

    Attributes:
        reasons: what cost points, newest first: (at_ms, points, kind, text by language).
    """

    score: int
    tier: str
    is_top: bool
    attention: str
    since_ms: int
    updated_ms: int
    reasons: tuple[tuple[int, float, str, dict[str, str]], ...] = ()


@dataclass(frozen=True, slots=True)
class CaseView:
    """All that is known of a case without reading the tips.

    Attributes:
        row: as in the queue; its figures are those of the gravest and newest flag.
        reasons: of that flag, strongest first, benign ones last.
        features: of that flag.
        policy: pack, version and hash.
        detector: version of the detector.
        flags: the newest first, at most 200.
        decisions: the newest first, at most 200.
        earlier: other cases of the subject, the newest first, at most 20.
        account: its credit record; None if it never lost points.
        raw: the flag as it stands in Kafka, indented JSON.
        undo_until_ms: until when the last decision can be taken back by who asks; None: not.
        neighbours: case ids (previous, next) in the open queue, empty where there is none.
        can_decide: whether who asks may decide.
    """

    row: QueueRow
    reasons: tuple[ReasonView, ...]
    features: dict[str, float]
    policy: dict[str, str]
    detector: str
    flags: tuple[FlagView, ...]
    decisions: tuple[Decision, ...]
    earlier: tuple[QueueRow, ...]
    account: AccountView | None
    raw: str
    undo_until_ms: int | None = None
    neighbours: tuple[str, str] = ("", "")
    can_decide: bool = False


# -- evidence, read from the tips topic when somebody asks ---------------------------------------


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """One event of the subject.

    Attributes:
        type: `tip`, `recharge`, `payout`, `refund` or `room`.
        amount, currency: as the platform wrote them, major units; None for `room`.
        value: the same in the base currency, major units.
        who: the other side: streamer of a tip, tipper, account paid out to; empty if none.
        detail: gift and quantity, claim, payout's reason, or what happened in the room.
        message: the user's words; anything may stand here.
        room: where; empty if not said.
        is_flagged: a flag of this case is about it.
    """

    at_ms: int
    type: str
    event_id: str
    amount: float | None = None
    currency: str = ""
    value: float | None = None
    who: str = ""
    detail: str = ""
    message: str = ""
    room: str = ""
    is_flagged: bool = False


class Strip(NamedTuple):
    """A stretch of time behind the timeline.

    `kind` is `lessons`, `night`, `child_time` (a pupil's free time), `pk`, `ceremony`, `lottery`
    or `live`.
    """

    kind: str
    start_ms: int
    end_ms: int


class MoneyEdge(NamedTuple):
    """Money that went one way between two accounts, all events together.

    `source` and `target` are (type, id), the type one of `tipper`, `streamer`, `account`,
    `instrument`.
    """

    source: tuple[str, str]
    target: tuple[str, str]
    value: float
    count: int  # type: ignore[assignment]


class Round(NamedTuple):
    """A streamer's stretch between a lottery's opening, or the last payout, and the next payout:
    what came in from how many, what went out to how many."""

    start_ms: int
    end_ms: int
    stakes: float
    tippers: int
    payouts: float
    paid: int


@dataclass(frozen=True, slots=True)
class Concentration:
    """How takings spread: tippers, the sum, and the shares of the first 1, 3 and 10 tippers."""

    tippers: int
    total: float
    shares: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class EvidenceView:
    """The subject's events around a case.

    Attributes:
        status: `read`, `cut` (a limit was met: `cut_by` says which) or `unreadable`.
        cut_by: `records`, `seconds` or `events`; empty otherwise.
        problem: `unreadable`: why, in plain English.
        currency: base currency of all values.
        read_records: records of the tips topic looked at.
        since_ms, until_ms: event time that the timeline covers.
        events: oldest first.
        strips: in no order; may overlap.
        amounts: (event time, value) of all its tips that were found, oldest first.
        quantiles: (0.5, 0.9, 0.99) of those before the case; None with fewer than 5.
        hours: tips by local hour, 24 numbers: before the case, and in it.
        devices: (device, first seen ms, events), the oldest first.
        instruments: (instrument, holder or empty, first seen ms, events), likewise.
        edges: the money graph, largest first, at most 40.
        rounds, concentration: of a streamer; empty and None for a tipper.
        raw_event: the event of the leading flag as it came, indented JSON; empty if not found.
    """

    status: Literal["read", "cut", "unreadable"]
    currency: str
    cut_by: str = ""
    problem: str = ""
    read_records: int = 0
    since_ms: int = 0
    until_ms: int = 0
    events: tuple[TimelineEvent, ...] = ()
    strips: tuple[Strip, ...] = ()
    amounts: tuple[tuple[int, float], ...] = ()
    quantiles: tuple[float, float, float] | None = None
    hours: tuple[tuple[int, ...], tuple[int, ...]] = ((0,) * 24, (0,) * 24)
    devices: tuple[tuple[str, int, int], ...] = ()
    instruments: tuple[tuple[str, str, int, int], ...] = ()
    edges: tuple[MoneyEdge, ...] = ()
    rounds: tuple[Round, ...] = ()
    concentration: Concentration | None = None
    raw_event: str = ""


# -- what leaves the house -----------------------------------------------------------------------

Channel = Literal["12377", "12318", "12315", "refund"]
CHANNELS: tuple[Channel, ...] = get_args(Channel)


@dataclass(frozen=True, slots=True)
class ExportView:
    """A case as a file for a report channel, or for a refund.

    Attributes:
        document: what the JSON file holds, in its order; the printable page shows the same.
        is_pseudonymised: ids are digests.
        language: of the sentences in it.
    """

    channel: Channel
    case_id: str
    language: Language
    is_pseudonymised: bool
    document: dict[str, Any] = field(default_factory=dict)


# -- what went wrong -----------------------------------------------------------------------------

Problem = Literal[
    "not_found", "forbidden", "csrf", "conflict", "bad_request", "kafka_away", "unanswered",
    "too_late", "unauthorised",
]  # fmt: skip
"""What an error page is about: `conflict`, the case has changed since it was looked at;
`kafka_away`, the decision is in no topic and was not made; `unanswered`, it was sent, and nobody
said that it arrived; `too_late`, to undo."""

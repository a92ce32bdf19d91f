"""What is told of the loop, and how long it waits: plain values that it and the edges share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the loop waits.

    Attributes:
        commit_interval_s: between commits while caught up.
        idle_after_s: at a partition's end until others are told not to wait for it.
    """

    commit_interval_s: float
    idle_after_s: float


@dataclass(slots=True)
class Status:
    """How the loop is doing, for `/healthz` and `/readyz`; written by the loop, but for `notice`.

    Attributes:
        state: what it is at: `starting`, `running`, `restoring` (state is being loaded or
            replayed), `blocked` (a commit cannot be made), `unreachable` (no broker answers),
            `stopping`.
        detail: one sentence about that.
        turned_s: steady time of the last turn.
        partitions: how many are assigned.
        lag_records, lag_s: how far behind; None while unknown.
        notice: what somebody should look at although all goes on; empty for nothing.
    """

    state: str = "starting"
    detail: str = "not connected yet"
    turned_s: float = 0.0
    partitions: int = 0
    lag_records: int | None = None
    lag_s: float | None = None
    notice: str = ""

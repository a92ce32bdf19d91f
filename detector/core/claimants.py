"""Who claims refunds, and for how many accounts: a bounded memory, a few bytes a claimant.

It knows the claims of one partition. Where tips are keyed by tipper, accounts of one claimant may
lie on others, so a number here is a least one.
"""

from __future__ import annotations

from zlib import crc32

from detector.core.generations import Generations

_MARK_BYTES = 4
_MOST_ACCOUNTS = 64


class Claimants:
    """Claimant → accounts.

    Args:
        max_entries, idle_ms: how many claimants are remembered, and how long without a claim.

    >>> claimants = Claimants(max_entries=100, idle_ms=1000)
    >>> [claimants.add("parent", account, now_ms=0) for account in ("a", "b", "a")]
    [1, 2, 2]
    """

    def __init__(self, max_entries: int, idle_ms: int) -> None:
        self.accounts: Generations[bytes] = Generations(max_entries, idle_ms)

    def add(self, claimant_id: str, tipper_id: str, now_ms: int) -> int:
        """Enters a claim and returns for how many accounts, up to 64, this claimant has claimed."""
        marks = self.accounts.get(claimant_id) or b""
        mark = crc32(tipper_id.encode("utf-8", "surrogatepass")).to_bytes(_MARK_BYTES, "little")
        known = {marks[at : at + _MARK_BYTES] for at in range(0, len(marks), _MARK_BYTES)}
        if mark not in known and len(known) < _MOST_ACCOUNTS:
            marks += mark
        self.accounts.put(claimant_id, marks, now_ms)
        return len(marks) // _MARK_BYTES


def checked_accounts(saved: bytes) -> bytes:
    """The same bytes, if they are what is kept of a claimant.

    Raises:
        ValueError: they are not.

    >>> checked_accounts(b"12345")
    Traceback (most recent call last):
    ValueError: a claimant: found 5 bytes, expected a multiple of 4 from 4 to 256
    """
    most = _MARK_BYTES * _MOST_ACCOUNTS
    if not saved or len(saved) % _MARK_BYTES or len(saved) > most:
        raise ValueError(
            f"a claimant: found {len(saved)} bytes, expected a multiple of {_MARK_BYTES} from "
            f"{_MARK_BYTES} to {most}"
        )
    return saved

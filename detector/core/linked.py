"""Tippers of one room who may be one hand: sets of them, of which a ring would be one.

Who shares devices or instruments, directly or through others; who pays with many cards; who tips
in the same bursts, and hardly otherwise. Families and net cafes are such sets as well: each set is
told apart, and what speaks against it is for the detector to say.
"""

from __future__ import annotations

from detector.core.crowd import BURSTS_FROM, CARDS_FROM, Crowd, Tipper
from detector.core.tipper import DAY_MS

LEAST_GROUP = 3
"""Linked tippers; two are a couple."""

_SCATTERED = 0.25  # share of the crowd from which pairs count as well, and small sets as one
_SEEN_WITHIN_MS = 45 * DAY_MS
YOUNG_MS = 30 * DAY_MS
"""An account that tips so soon after it was made is a new one."""

FAMILY = 5
"""A set may be so large and be one household's."""

_SOME_BACK = 0.2  # of his own tips; less is no return
_NOT_HIS = 3.0  # times his own tips; more is a withdrawal of what others gave
_MOST_SETS = 6
_MOST_SYNCED = 64
_LEAST_SYNCED = 5
_MOSTLY_IN_BURSTS = 0.75
_CAME_AT_ONCE, _AT_ONCE_MS = 0.6, 5_000

Sets = list[list[Tipper]]
"""Sets of tippers that share something, taken as one hand."""


def sets_of(crowd: Crowd, tippers: list[Tipper]) -> list[Sets]:
    """What might be a ring: each larger set by itself, and those together that belong together.

    Together are sets of new accounts, sets that money goes back to, those who tip in the same
    bursts with all who share something with them, and small sets where much of the crowd is in one.
    """
    groups = _groups(crowd, tippers)
    changers = [
        each
        for each in tippers
        if each.more_cards >= CARDS_FROM and 2 * each.more_cards >= each.tips
    ]
    found = [[group] for group in sorted(groups, key=len, reverse=True)[:_MOST_SETS]]
    if len(groups) > 1:
        alike = [group for group in groups if _is_new(group) or is_any_paid(group)]
        if len(alike) > 1:
            found.append(alike)
        small = [group for group in groups if len(group) <= FAMILY]
        if sum(map(len, small)) >= _SCATTERED * len(tippers):
            found.append(small)
    if 0 < 2 * len(changers) <= len(tippers):  # or else payments have tokens of their own
        found.append([changers])
    at_once = synced(tippers)
    if at_once:
        marks = {each.mark for each in at_once}
        for group in groups:
            if any(each.mark in marks for each in group):
                at_once += [each for each in group if each.mark not in marks]
                marks |= {each.mark for each in group}
        found.append([at_once])
    return found


def seen_lately(crowd: Crowd, at_ms: int) -> list[Tipper]:
    """Tippers whose last tip is no older than some weeks."""
    return [each for each in crowd if at_ms - each.last_ms <= _SEEN_WITHIN_MS]


def is_paid_back(returned: int, value: int) -> bool:
    """Whether what came back to a tipper is a return of what he tipped: no trifle, and his own."""
    return returned > 0 and _SOME_BACK * value <= returned <= _NOT_HIS * value


def is_paid(tipper: Tipper) -> bool:
    """Whether what a tipper gave went back to him."""
    return is_paid_back(tipper.returned, tipper.value)


def is_any_paid(group: list[Tipper]) -> bool:
    """Whether what one of these gave went back to him."""
    return any(map(is_paid, group))


def is_new(tipper: Tipper) -> bool:
    """Whether the account was young when it first tipped here."""
    return bool(tipper.created_s) and tipper.first_ms - tipper.created_s * 1000 <= YOUNG_MS


def synced(tippers: list[Tipper]) -> list[Tipper]:
    """The most tippers who were in the same bursts, in hardly anything else, and came at once."""
    often = [
        each
        for each in tippers
        if each.bursts.bit_count() >= max(BURSTS_FROM, _MOSTLY_IN_BURSTS * each.tips)
    ][:_MOST_SYNCED]
    if len(often) < _LEAST_SYNCED:
        return []
    most: list[Tipper] = []
    for one in often:
        group = [each for each in often if _are_synced(one.bursts, each.bursts)]
        if len(group) > len(most):
            most = group
    return most if len(most) >= _LEAST_SYNCED and _came_at_once(most) else []


def _are_synced(one: int, other: int) -> bool:
    both = (one & other).bit_count()
    return both >= BURSTS_FROM and 2 * both >= (one | other).bit_count()


def _came_at_once(group: list[Tipper]) -> bool:
    """Whether most were seen first within the same seconds: fans come one by one."""
    firsts = sorted(each.first_ms for each in group)
    most = max(sum(0 <= other - first <= _AT_ONCE_MS for other in firsts) for first in firsts)
    return most >= _CAME_AT_ONCE * len(group)


def _is_new(group: list[Tipper]) -> bool:
    return 2 * sum(map(is_new, group)) > len(group)


def _groups(crowd: Crowd, tippers: list[Tipper]) -> list[list[Tipper]]:
    """The linked tippers that matter: groups, and couples where much of the crowd is couples."""
    groups = _components(crowd, tippers)
    in_pairs = sum(len(group) for group in groups)
    if in_pairs < max(2 * LEAST_GROUP, _SCATTERED * len(tippers)):
        groups = [group for group in groups if len(group) >= LEAST_GROUP]
    return groups


def _components(crowd: Crowd, tippers: list[Tipper]) -> list[list[Tipper]]:
    """Tippers who share devices or instruments, directly or through others; two or more each."""
    leader: dict[int, int] = {}

    def find(place: int) -> int:
        while leader.setdefault(place, place) != place:
            leader[place] = place = leader[leader[place]]
        return place

    linked = []
    for each in tippers:
        # Devices and instruments are nodes as well: negative, even and odd.
        nodes = []
        if crowd.devices.is_shared(each.device):
            nodes.append(-2 * each.device)
        if crowd.instruments.is_shared(each.instrument):
            nodes.append(-2 * each.instrument - 1)
        for node in nodes:
            leader[find(node)] = find(each.mark)
        if nodes:
            linked.append(each)
    groups: dict[int, list[Tipper]] = {}
    for each in linked:
        groups.setdefault(find(each.mark), []).append(each)
    return [group for group in groups.values() if len(group) > 1]

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
_YOUNG_MS = 30 * DAY_MS  # an account that tips so soon after it was made is a new one

FAMILY = 5
"""A set may be so large and be one household's."""

_SOME_BACK = 0.2  # of his own tips; less is no return
_NOT_HIS = 3.0  # times his own tips; more is a withdrawal of what others gave
_MOST_SETS = 6
_MOST_IN_STEP = 64  # compared with one another: so many of those who tip mostly in bursts
_LEAST_SYNCED = 5
_MOSTLY_IN_BURSTS = 0.75
_CAME_AT_ONCE, _AT_ONCE_MS = 0.6, 5_000

Sets = list[list[Tipper]]
"""Sets of tippers that share something, taken as one hand."""


class InStep:
    """Who was in the same bursts as whom, of tippers who hardly tip otherwise.

    Comparing everybody with everybody is what costs most of a look at a room: it is done once for
    all sets, and of a crowd full of such tippers, first for those who share something.
    """

    __slots__ = ("_number_of", "_with")

    def __init__(self, crowd: Crowd, tippers: list[Tipper]) -> None:
        often = [
            each
            for each in tippers
            if each.bursts.bit_count() >= max(BURSTS_FROM, _MOSTLY_IN_BURSTS * each.tips)
        ]
        if len(often) > _MOST_IN_STEP:
            often.sort(key=lambda each: not _is_linked(crowd, each))
        often = often[:_MOST_IN_STEP] if len(often) >= _LEAST_SYNCED else []
        self._number_of = {each.mark: number for number, each in enumerate(often)}
        self._with = _in_step([each.bursts for each in often])

    def synced(self, tippers: list[Tipper]) -> list[Tipper]:
        """The most of these who were in the same bursts as one of them, and came at once."""
        number_of = self._number_of
        if not number_of:
            return []
        often = [(number_of[each.mark], each) for each in tippers if each.mark in number_of]
        among = sum(1 << number for number, _ in often)
        most = max(
            (self._with[number] & among for number, _ in often), key=int.bit_count, default=0
        )
        if most.bit_count() < _LEAST_SYNCED:
            return []
        group = [each for number, each in often if most >> number & 1]
        return group if _came_at_once(group) else []


def sets_of(crowd: Crowd, tippers: list[Tipper], in_step: InStep) -> list[Sets]:
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
    at_once = in_step.synced(tippers)
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
    return bool(tipper.created_s) and tipper.first_ms - tipper.created_s * 1000 <= _YOUNG_MS


def most_within(times: list[int], window_ms: int) -> int:
    """The most of these times, in order, that lie within so long of each other."""
    most = start = 0
    for end, at_ms in enumerate(times):
        while at_ms - times[start] > window_ms:
            start += 1
        most = max(most, end - start + 1)
    return most


def _in_step(bursts: list[int]) -> list[int]:
    """For each of these bits, with which others they agree, itself included: as bits of numbers.

    They do with three bursts in common, and half of all those that either was in.
    """
    counts = [each.bit_count() for each in bursts]
    found = [1 << number for number in range(len(bursts))]
    for number, (one, count) in enumerate(zip(bursts, counts, strict=True)):
        for other in range(number):
            both = (one & bursts[other]).bit_count()
            if both >= BURSTS_FROM and 3 * both >= count + counts[other]:
                found[number] |= 1 << other
                found[other] |= 1 << number
    return found


def _came_at_once(group: list[Tipper]) -> bool:
    """Whether most were seen first within the same seconds: fans come one by one."""
    firsts = sorted(each.first_ms for each in group)
    return most_within(firsts, _AT_ONCE_MS) >= _CAME_AT_ONCE * len(group)


def _is_linked(crowd: Crowd, tipper: Tipper) -> bool:
    return crowd.devices.is_shared(tipper.device) or crowd.instruments.is_shared(tipper.instrument)


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

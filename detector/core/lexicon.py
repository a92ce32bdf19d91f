"""What the words of a message point at: a child, an adult, a bet. For and against, never alone.

Only the marks go on from here; the text itself does not reach a detector.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

CHILD, ADULT, BET = 1, 2, 4
"""Marks of a message; several may be set."""

_EITHERS = CHILD | ADULT


class Lexicon:
    """Three lists of words, in any language.

    A word of ASCII letters is found between other characters only, any other one anywhere; case
    does not matter.

    Args:
        child: words that a child uses of itself.
        adult: words that an adult uses of himself.
        bet: words of a wager.

    >>> lexicon = Lexicon(child=["homework"], adult=["家长会"], bet=["单双"])
    >>> lexicon.marks("Homework done!"), lexicon.marks("homeworks"), lexicon.marks("给孩子开家长会")
    (1, 0, 2)
    >>> lexicon.marks("no homework, 家长会")
    0
    """

    def __init__(
        self, child: Iterable[str] = (), adult: Iterable[str] = (), bet: Iterable[str] = ()
    ) -> None:
        lists = ((CHILD, tuple(child)), (ADULT, tuple(adult)), (BET, tuple(bet)))
        self._patterns = tuple((mark, pattern(words)) for mark, words in lists if words)

    def marks(self, text: str) -> int:
        """The marks of a text; 0 for none.

        Of a child's words with an adult's (我儿子放学了, 妈妈下班了) it is open whose they are.
        """
        found = 0
        for mark, pattern in self._patterns:
            if pattern.search(text):
                found |= mark
        return found & ~_EITHERS if found & _EITHERS == _EITHERS else found


def pattern(words: Iterable[str]) -> re.Pattern[str]:
    """Finds any of some words, in the way of `Lexicon`; nothing where there are none.

    >>> bool(pattern(["kids"]).search("Kids & family")), bool(pattern([]).search("kids"))
    (True, False)
    """
    parts = []
    for word in words:
        escaped = re.escape(word)
        parts.append(rf"(?<![a-z0-9]){escaped}(?![a-z0-9])" if word.isascii() else escaped)
    return re.compile("|".join(parts) or r"(?!)", re.IGNORECASE)

"""Standing snoozes: a file in which an operator says whom to leave alone, for what, and until when.

Such a file is part of the configuration, not of what is learned: who takes a line out has ended the
snooze. Times are event time. Ids never stand in an error; what is wrong is told by number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from detector.core.cases import Snooze, case_key
from detector.core.problems import Problems, describe
from detector.core.reasons import SEVERITIES, Kind, Severity
from detector.setting_sections import Section
from detector.settings import ConfigError, find_beside, read_toml

_MOST = 10_000
_MOST_ID_CHARS = 1_000
_SUBJECT_OF = {
    "minor": "tipper", "outsized": "tipper", "binge": "tipper", "refund_abuse": "tipper",
    "gambling": "streamer", "ring": "streamer",
}  # fmt: skip


def _read_id(found: object) -> object:
    if not isinstance(found, str) or not 1 <= len(found) <= _MOST_ID_CHARS:
        raise ValueError(f"expected text of 1 to {_MOST_ID_CHARS} characters")  # without the id
    return found


def _read_until(found: object) -> object:
    if not isinstance(found, datetime) or found.tzinfo is None:
        raise ValueError("expected a time with an offset, such as 2026-12-01T00:00:00+08:00")
    return found


class _Entry(Section):
    kind: Kind
    subject_type: Literal["tipper", "streamer"]
    subject_id: Annotated[str, BeforeValidator(_read_id)]
    until: Annotated[datetime, BeforeValidator(_read_until)]
    reason: Annotated[str, Field(min_length=3, max_length=500)]
    up_to: Severity = "medium"

    @model_validator(mode="after")
    def _is_about_such_a_subject(self) -> _Entry:
        expected = _SUBJECT_OF.get(self.kind, self.subject_type)
        if self.subject_type != expected:
            raise ValueError(
                f'kind = "{self.kind}", subject_type = "{self.subject_type}": '
                f'expected "{expected}": nobody else is flagged for that'
            )
        return self

    @property
    def key(self) -> str:
        return case_key(self.kind, self.subject_type, self.subject_id)


class _File(Section):
    snooze: Annotated[tuple[_Entry, ...], Field(max_length=_MOST)] = ()


assert _SUBJECT_OF.keys() <= set(get_args(Kind))


def load_snoozes(name: str, beside: Path | None, id_prefix: str = "") -> Mapping[str, Snooze]:
    """The snoozes of the file that `snoozes.file` names, by key of the case; none for no name.

    Args:
        name: the file; a relative path is looked for beside the operator's config file first.
        beside: that config file.
        id_prefix: what every id begins with where flags have pseudonyms.

    Raises:
        ConfigError: with every problem, one a line.
    """
    if not name:
        return {}
    file = find_beside(name, beside)
    written: dict[str, Any] = read_toml(file)
    problems = Problems(str(file))
    try:
        entries = _File.model_validate(written).snooze
    except ValidationError as error:
        describe(error, written, problems)
        raise ConfigError(problems.text()) from None
    counts = Counter(entry.key for entry in entries)
    for number, entry in enumerate(entries):
        if not entry.subject_id.startswith(id_prefix):
            problems.add_line(
                f"snooze[{number}].subject_id",
                f"expected the id as flags have it, which begins {id_prefix}; "
                "`tip-detector pseudonym` gives it",
            )
        if counts[entry.key] > 1:
            problems.add_line(f"snooze[{number}]", "the same kind and subject stand there twice")
    if problems:
        raise ConfigError(problems.text())
    return {
        entry.key: Snooze(int(entry.until.timestamp() * 1000), SEVERITIES.index(entry.up_to))
        for entry in entries
    }

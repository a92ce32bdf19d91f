"""JSON Schemas of what goes in and out, made from the code that reads and writes it.

`detector/schemas/*.json` are copies of what stands here, and a test keeps them equal. An input
schema asks for the documented forms; the reader forgives a little more (any ISO 8601 time with an
offset, an amount such as "1e3"). What hangs on configuration cannot stand in a schema: which
currencies have a rate, and the longest id and largest amount where they differ from the defaults.

Knows the records. Does not know topics (`asyncapi`), and writes no files.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from detector.core.account import HIGHEST, TIERS
from detector.core.credit import ATTENTION, MAX_REASONS, SUBJECT_TYPES
from detector.core.decision import SCORED_KINDS
from detector.core.event import FIELDS, OLDEST_MS, REASONS, REQUIRED, Field
from detector.core.event_reader import EventLimits
from detector.core.mapping_format import SKIP_REASONS
from detector.core.reasons import ACTIONS, FAMILIES, KINDS, SEVERITIES, UNITS
from detector.core.verdict import Judgement
from detector.core.wording import WORDS
from detector.core.wording.credit import CREDIT

NAMES = ("event", "flag", "verdict", "decision", "account")

Schema = dict[str, Any]


_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_LATEST_MS = 32_503_680_000_000  # the year 3000
_RFC3339 = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$"
)


def schema(name: str) -> Schema:
    """The schema of one record, draft 2020-12; self-contained.

    Args:
        name: one of `NAMES`. `decision` is a line that `score` writes: a Decision (which is also
            what the scores topic holds), or word of a line that was rejected or skipped.

    >>> schema("flag")["required"][:4]
    ['flag_id', 'kind', 'severity', 'action']

    Raises:
        KeyError: there is no schema of that name.
    """
    made = _MAKERS[name]()
    return {"$schema": _DIALECT, "$id": f"urn:tip-detector:{name}"} | made


# --- Event ----------------------------------------------------------------------------------------


def _event() -> Schema:
    return {
        "title": "Event",
        "description": "One thing that happened on the platform; a tip when `type` is absent. "
        "null and an empty string are as good as absent; unknown fields are ignored.",
        "type": "object",
        "properties": {field.name: _property(field) for field in FIELDS},
        "allOf": [_requirement(event_type, names) for event_type, names in REQUIRED.items()],
        "$defs": _forms(),
    }


def _property(field: Field) -> Schema:
    if field.form == "choice":
        return {"description": field.meaning, "enum": [*field.choices, None, ""]}
    either = [{"$ref": f"#/$defs/{field.form}"}, {"$ref": "#/$defs/absent"}]
    return {"description": field.meaning, "anyOf": either}


def _requirement(event_type: str, names: tuple[str, ...]) -> Schema:
    """What one type of event must have, none of it null or empty."""
    if event_type == "tip":
        condition: Schema = {"properties": {"type": {"enum": ["tip", None, ""]}}}
    else:
        condition = {"properties": {"type": {"const": event_type}}, "required": ["type"]}
    fields = {field.name: field for field in FIELDS}
    present = {
        name: {"enum": list(fields[name].choices)}
        if fields[name].form == "choice"
        else {"$ref": f"#/$defs/{fields[name].form}"}
        for name in names
    }
    return {"if": condition, "then": {"properties": present, "required": list(names)}}


def _forms() -> dict[str, Schema]:
    """The forms a field's value may have, by `Field.form`."""
    longest = EventLimits().max_id_chars
    return {
        "absent": {"description": "As good as not there.", "enum": [None, ""]},
        "id": {
            "description": f"Text of 1 to {longest} characters (the default limit), or a whole "
            "number, which means its digits.",
            "anyOf": [
                {"type": "string", "minLength": 1, "maxLength": longest},
                {"type": "integer"},
            ],
        },
        "text": {"description": "Text; long text is cut.", "type": "string"},
        "time": _time("A point in time: epoch ms, epoch s or RFC 3339 with an offset."),
        "amount": {
            "description": "More than 0, in major units of `currency`; a decimal string is exact.",
            "anyOf": [
                {
                    "type": "string",
                    "maxLength": 40,
                    "pattern": r"^(?=.*[1-9])[0-9]{1,15}(\.[0-9]+)?$",
                },
                {"type": "number", "exclusiveMinimum": 0, "maximum": 10**15},
            ],
        },
        "currency": {
            "description": "A code that has a rate in the settings.",
            "type": "string",
            "minLength": 1,
            "maxLength": 16,
        },
        "flag": {"description": "true or false.", "type": "boolean"},
        "count": _whole("A count.", 2**53),
        "age": _whole("Years.", 150),
    }


def _time(description: str) -> Schema:
    """A time as people write it."""
    seconds = {"minimum": OLDEST_MS // 1000, "maximum": _LATEST_MS // 1000}
    return {
        "description": description,
        "anyOf": [
            {
                "description": "Epoch ms, from 2010 on.",
                "type": "number",
                "minimum": OLDEST_MS,
                "maximum": _LATEST_MS,
            },
            {"description": "Epoch s, from 2010 on.", "type": "number", **seconds},
            {
                "description": "Either of them as digits.",
                "type": "string",
                "pattern": "^[0-9]{10,17}$",
            },
            {
                "description": "RFC 3339 with an offset.",
                "type": "string",
                "format": "date-time",
                "pattern": _RFC3339,
            },
        ],
    }


# --- Flag -----------------------------------------------------------------------------------------


def _flag() -> Schema:
    policy = {
        "pack": _text("Name of the policy pack."),
        "version": _text("Version of the pack."),
        "hash": _text("Digest of the pack's file, 16 hexadecimal digits."),
    }
    detector = {
        "version": _text("Version of tip-detector."),
        "shadow": _boolean("True for a trial run, whose flags nobody should act on."),
    }
    return _object(
        "Flag",
        "One finding about one account, with its evidence.",
        {
            "flag_id": _text(
                "A pure function of event, kind and subject: a repeat has the same id. Flags of a "
                "trial begin with fs_.",
                pattern="^fs?_[0-9a-f]{32}$",
            ),
            "kind": _one_of("What kind of case it is.", KINDS),
            "severity": _one_of(
                "How grave. High needs two independent families or a declared fact.", SEVERITIES
            ),
            "action": _one_of("What the policy asks for, from mild to grave.", ACTIONS),
            "subject": _subject(),
            "event_id": _text("The event that led to it."),
            "event_time": _whole("When that event happened, epoch ms.", None),
            "score": _share("How sure the detector is, 0 to 1."),
            "case_id": _text(
                "Case that groups the flags of one kind on one subject; a trial has its own.",
                pattern="^cs?_[0-9a-f]{32}$",
            ),
            "update": _boolean("False if this flag opened its case."),
            "reasons": {
                "description": "The evidence, strongest first; what speaks against it comes last.",
                "type": "array",
                "minItems": 1,
                "items": _reason(),
            },
            "features": _figures(
                "The figures at that moment; `_minor`: minor units of the base currency."
            ),
            "policy": _object("", "The policy pack in force.", policy),
            "detector": _object("", "What made the flag.", detector),
            "paged": _boolean(
                "False for a flag that must not page: a high one while a storm of them goes on, "
                "and any of a trial; absent otherwise."
            ),
            "storm": _boolean("True while such a storm goes on; absent otherwise."),
        },
        optional=("paged", "storm"),
    )


def _subject() -> Schema:
    return _object(
        "",
        "The account that it is about.",
        {
            "type": _one_of("Which side it is on.", SUBJECT_TYPES),
            "id": _text("Its id, as in the events."),
        },
    )


def _reason() -> Schema:
    unit = ", ".join(f"`{each}`" for each in UNITS if not each.isupper())
    return _object(
        "",
        "One piece of evidence.",
        {
            "code": _one_of("What it says.", tuple(WORDS)),
            "family": _one_of("The independent family of evidence it belongs to.", FAMILIES),
            "observed": {"description": "What was seen, in `unit`.", "type": "number"},
            "usual": _figure("What is usual, in `unit`; null where nothing is."),
            "limit": _figure("What would still have passed, in `unit`; null where there is none."),
            "unit": _text(f"A currency code (major units), or one of {unit}."),
            "n": _whole("Sample size behind `usual`; 0 for a rule or a declared fact.", None),
            "text": _sentence(),
            "rule": _text("Id of the policy's rule; absent for statistical evidence."),
        },
        optional=("rule",),
    )


def _sentence() -> Schema:
    words = {"en": _text("In English."), "zh": _text("In Chinese.")}
    return _object("", "The reason as a sentence.", words)


# --- Verdict --------------------------------------------------------------------------------------


def _verdict() -> Schema:
    made = _object(
        "Verdict",
        "A reviewer's finding on a flag, or on an event that was never flagged (a miss).",
        {
            "flag_id": _text("The flag it is about.", minLength=1),
            "event_id": _text("The event it is about, where there was no flag.", minLength=1),
            "verdict": _one_of("What the reviewer found.", get_args(Judgement)),
            "kind": _one_of("The kind of case that was confirmed or denied.", KINDS),
            "reviewer": _text("Who decided.", minLength=1),
            "decided_at": _time("When: epoch ms, epoch s or RFC 3339 with an offset."),
            "features": _figures("The flag's own features, so that they need not be looked up."),
            "note": _text("The reviewer's words."),
        },
        optional=("flag_id", "event_id", "features", "note"),
    )
    return made | {"anyOf": [{"required": ["flag_id"]}, {"required": ["event_id"]}]}


# --- Decision and the lines of `score` ------------------------------------------------------------


def _decision() -> Schema:
    line = _whole("Number of the input line, from 1.", None, lowest=1)
    kinds = {kind: _share(f"How sure the detector of {kind} is, 0 to 1.") for kind in SCORED_KINDS}
    any_kind = _share("Chance that a reviewer would confirm some kind, 0 to 1.")
    decision = _object(
        "Decision",
        "What the engine thinks of one event.",
        {
            "event_id": _text("The event."),
            "scores": _object("", "Scores by kind.", kinds | {"any": any_kind}),
            "flags": {
                "description": "Flags it led to; mostly none.",
                "type": "array",
                "items": {"$ref": "#/$defs/Flag"},
            },
        },
    )
    rejected = {
        "line": line,
        "rejected": _one_of("Why the line is no event.", REASONS),
        "detail": _text("Where, what was found, what was expected."),
    }
    skipped = {"line": line, "skipped": _one_of("Why the line is no tip.", SKIP_REASONS)}
    return {
        "title": "DecisionLine",
        "description": "What `score` writes for one input line.",
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in ("Decision", "Rejected", "Skipped")],
        "$defs": {
            "Decision": decision,
            "Rejected": _object("Rejected", "The input line is no event.", rejected),
            "Skipped": _object("Skipped", "The mapping says that the line is no tip.", skipped),
            "Flag": _flag(),
        },
    }


# --- Account --------------------------------------------------------------------------------------


def _account() -> Schema:
    return _object(
        "Account",
        "Credit of an account that cases have cost points; one that has no record never lost any.",
        {
            "subject": _subject(),
            "score": _whole("Whole points; 100 to begin with.", HIGHEST),
            "tier": _one_of("From A, the best; the settings say from which score.", TIERS),
            "is_top": _boolean("Whether it is a top streamer, by takings, as of this record."),
            "attention": _one_of("How closely to look: by tier, and a step more at top streamers.",
                                 ATTENTION),
            "since": _whole("When it first lost points, epoch ms of event time.", None),
            "updated_at": _whole("When this came to be so, epoch ms of event time.", None),
            "reasons": {
                "description": "The newest cases that cost points, newest first.",
                "type": "array",
                "maxItems": MAX_REASONS,
                "items": _cost(),
            },
            "version": _text("Version of tip-detector."),
        },
    )  # fmt: skip


def _cost() -> Schema:
    return _object(
        "",
        "One case, and what it costs.",
        {
            "code": _one_of("Where the case stands.", tuple(CREDIT)),
            "points": {"description": "What it takes away, negative or 0.", "type": "number",
                       "maximum": 0},
            "case_id": {"description": "The case, as in its flags; null where none was flagged.",
                        "type": ["string", "null"]},
            "kind": _one_of("What kind of case it is.", KINDS),
            "at": _whole("When it was opened, epoch ms of event time.", None),
            "text": _sentence(),
        },
    )  # fmt: skip


# --- small parts ----------------------------------------------------------------------------------


def _object(
    title: str, description: str, properties: dict[str, Schema], optional: tuple[str, ...] = ()
) -> Schema:
    """An object whose properties are required unless optional; others may come with a version."""
    return {
        **({"title": title} if title else {}),
        "description": description,
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
    }


def _text(description: str, **rest: Any) -> Schema:
    return {"description": description, "type": "string", **rest}


def _boolean(description: str) -> Schema:
    return {"description": description, "type": "boolean"}


def _one_of(description: str, choices: tuple[str, ...]) -> Schema:
    return {"description": description, "enum": list(choices)}


def _whole(description: str, highest: int | None, lowest: int = 0) -> Schema:
    made: Schema = {"description": description, "type": "integer", "minimum": lowest}
    return made if highest is None else made | {"maximum": highest}


def _share(description: str) -> Schema:
    return {"description": description, "type": "number", "minimum": 0, "maximum": 1}


def _figure(description: str) -> Schema:
    return {"description": description, "type": ["number", "null"]}


def _figures(description: str) -> Schema:
    return {
        "description": description,
        "type": "object",
        "additionalProperties": {"type": "number"},
    }


_MAKERS: dict[str, Callable[[], Schema]] = {
    "event": _event,
    "flag": _flag,
    "verdict": _verdict,
    "decision": _decision,
    "account": _account,
}

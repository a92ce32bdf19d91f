"""The topics as an AsyncAPI 3.0 document: what each holds, by which key, and for how long.

Knows the contract of the topics. The records' schemas stand beside it (`schema`): the document
refers to their files. It writes no files.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import detector
from detector.core.event import REASONS

TOPICS = {
    "tips": "tips",
    "verdicts": "tip-verdicts",
    "flags": "tip-flags",
    "scores": "tip-scores",
    "accounts": "tip-accounts",
    "dead_letters": "tip-dead-letters",
    "rekeyed": "tip-detector-rekeyed",
    "checkpoints": "tip-detector-checkpoints",
}
"""Role → name of the topic by default."""

_DAY_MS = 86_400_000
_SCHEMA_FORMAT = "application/schema+json;version=draft-2020-12"
_BINDING_VERSION = "0.5.0"

Document = dict[str, Any]


class _Topic(NamedTuple):
    """What one topic is for.

    `verb` is the detector's: `receive`, `send`, or both for what it keeps for itself. `payload` is
    a schema's file and place, or a schema where no file holds one. `kept_ms`: how long records
    stay, in ms; None where the platform or the broker says; 0 for a compacted topic.
    """

    verbs: tuple[str, ...]
    summary: str
    key: str
    payload: str | Document
    kept_ms: int | None = None
    content_type: str = "application/json"


_OPAQUE: Document = {"type": "string", "format": "binary"}

_TABLE: dict[str, _Topic] = {
    "tips": _Topic(
        ("receive",),
        "What happens on the platform: its own JSON, which the mapping turns into an Event; an "
        "Event where no mapping is set.",
        "As the platform keys it: tipper, streamer or other; the settings say which.",
        "event.schema.json",
    ),
    "verdicts": _Topic(
        ("receive",),
        "What reviewers found.",
        "flag_id; event_id where there was no flag.",
        "verdict.schema.json",
        90 * _DAY_MS,
    ),
    "flags": _Topic(
        ("send",),
        "Findings, each exactly once to a reader with isolation.level=read_committed.",
        "Id of the subject.",
        "flag.schema.json",
        90 * _DAY_MS,
    ),
    "scores": _Topic(
        ("send",),
        "Every event's scores; only where the settings ask for them.",
        "Id of the tipper.",
        "decision.schema.json#/$defs/Decision",
        _DAY_MS,
    ),
    "accounts": _Topic(
        ("send",),
        "Credit records of accounts; the newest of an account is in force.",
        "Id of the subject.",
        "account.schema.json",
        0,
    ),
    "dead_letters": _Topic(
        ("send",),
        "Records that are no event, their bytes as they came; the headers say why.",
        "The original key.",
        {**_OPAQUE, "description": "The original bytes."},
        30 * _DAY_MS,
        "application/octet-stream",
    ),
    "rekeyed": _Topic(
        ("send", "receive"),
        "Internal: events keyed for the other view, in batches. No contract; do not read it.",
        "Internal.",
        {**_OPAQUE, "description": "Internal."},
        None,
        "application/octet-stream",
    ),
    "checkpoints": _Topic(
        ("send", "receive"),
        "Internal: state and next offsets of each partition. No contract; do not read it.",
        "Internal.",
        {**_OPAQUE, "description": "Internal."},
        None,
        "application/octet-stream",
    ),
}

_MESSAGES = {
    "tips": "Event",
    "verdicts": "Verdict",
    "flags": "Flag",
    "scores": "Decision",
    "accounts": "Account",
    "dead_letters": "DeadLetter",
    "rekeyed": "Rekeyed",
    "checkpoints": "Checkpoint",
}

DEAD_LETTER_HEADERS: dict[str, Document] = {
    "reason": {"description": "Why it is no event.", "type": "string", "enum": list(REASONS)},
    "detail": {
        "description": "Where, what was found, what was expected.",
        "type": "string",
    },
    "topic": {"description": "Topic that it came from.", "type": "string"},
    "partition": {"description": "Partition that it came from, digits.", "type": "string"},
    "offset": {"description": "Its offset there, digits.", "type": "string"},
    "version": {"description": "Version of tip-detector.", "type": "string"},
    "policy": {"description": "Digest of the policy pack in force.", "type": "string"},
}
"""Name → schema of each header that a dead letter has beside its own. All are UTF-8 text."""


def asyncapi(topics: dict[str, str]) -> Document:
    """The document.

    Args:
        topics: role → the topic's configured name; the roles are those of `TOPICS`.

    >>> asyncapi({"flags": "my-flags"})["channels"]["flags"]["address"]
    'my-flags'

    Raises:
        KeyError: a role that no topic has.
    """
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "tip-detector",
            "version": detector.__version__,
            "description": "Kafka topics of a real-time detector of anomalous live-stream tips.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {role: _channel(role, name) for role, name in topics.items()},
        "operations": {
            f"{verb}_{role}": {
                "action": verb,
                "channel": {"$ref": f"#/channels/{role}"},
                "summary": _TABLE[role].summary,
                "messages": [{"$ref": f"#/channels/{role}/messages/{_MESSAGES[role]}"}],
            }
            for role in topics
            for verb in _TABLE[role].verbs
        },
        "components": {"messages": {_MESSAGES[role]: _message(role) for role in topics}},
    }


def _channel(role: str, name: str) -> Document:
    topic, message = _TABLE[role], _MESSAGES[role]
    made: Document = {
        "address": name,
        "description": topic.summary,
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
    }
    if topic.kept_ms is not None:
        configuration: Document = (
            {"cleanup.policy": ["delete"], "retention.ms": topic.kept_ms}
            if topic.kept_ms
            else {"cleanup.policy": ["compact"]}
        )
        made["bindings"] = {
            "kafka": {
                "topicConfiguration": configuration,
                "bindingVersion": _BINDING_VERSION,
            }
        }
    return made


def _message(role: str) -> Document:
    topic = _TABLE[role]
    payload: Document = (
        {"schemaFormat": _SCHEMA_FORMAT, "schema": {"$ref": f"./{topic.payload}"}}
        if isinstance(topic.payload, str)
        else topic.payload
    )
    made: Document = {
        "name": _MESSAGES[role],
        "summary": topic.summary,
        "contentType": topic.content_type,
        "payload": payload,
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": topic.key},
                "bindingVersion": _BINDING_VERSION,
            }
        },
    }
    if role == "dead_letters":
        made["headers"] = {
            "type": "object",
            "description": "Beside the record's own headers; UTF-8 text.",
            "properties": DEAD_LETTER_HEADERS,
            "required": list(DEAD_LETTER_HEADERS),
        }
    return made

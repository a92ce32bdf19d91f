"""The schemas are valid, are what is shipped, and agree with the code that reads and writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from detector.core.asyncapi import DEAD_LETTER_HEADERS, TOPICS, asyncapi
from detector.core.decode import Skipped
from detector.core.event import FIELDS, REASONS, REQUIRED, Rejected
from detector.core.event_reader import EventLimits, EventReader
from detector.core.schema import NAMES, schema
from tests.core.write_schemas import FOLDER, documents
from tests.engines import PACKS, RECEIVED_MS, currencies, engine, policy

EVENT, FLAG, VERDICT, DECISION, ACCOUNT = (Draft202012Validator(schema(name)) for name in NAMES)
READER = EventReader(currencies("cn"), EventLimits())
FORMS = {field.name: field.form for field in FIELDS}
CHOICES = {field.name: field.choices for field in FIELDS}


def examples(pack: str) -> Iterator[list[dict[str, Any]]]:
    """Each sequence of example events in a pack."""
    for rule in policy(pack).rules:
        yield rule.fires
        yield rule.silent


def decisions(pack: str) -> Iterator[dict[str, Any]]:
    for records in examples(pack):
        scorer, reader = engine(pack, case_cool_down_ms=0)
        for record in records:
            decision = scorer.process(reader.read(record, RECEIVED_MS))
            assert not isinstance(decision, Skipped)
            yield decision.to_record()


@cache
def outsized() -> dict[str, Any]:
    """A decision with a statistical flag: one tip far above a site's and a tipper's habits."""
    scorer, reader = engine("cn")
    record: dict[str, Any] = {"streamer_id": "s1", "currency": "CNY"}
    start_s = 1_772_380_800
    for at in range(600):
        record |= {"event_id": f"e{at}", "event_time": start_s + 600 * at}
        record |= {"tipper_id": f"t{at % 40}", "amount": str(1 + at % 7), "device_id": "d1"}
        scorer.process(reader.read(record, RECEIVED_MS))
    record |= {"event_id": "e600", "event_time": start_s + 360_000, "amount": "20000"}
    decision = scorer.process(reader.read(record | {"device_id": "d2"}, RECEIVED_MS))
    assert not isinstance(decision, Skipped)
    return decision.to_record()


def closed(node: Any) -> Any:
    """A schema that allows no property beyond those it names."""
    if isinstance(node, list):
        return [closed(each) for each in node]
    if not isinstance(node, dict):
        return node
    made = {key: closed(value) for key, value in node.items()}
    if node.get("type") == "object" and "properties" in node:
        made["additionalProperties"] = False
    return made


def accepts(record: dict[str, Any]) -> bool:
    try:
        READER.read(record, RECEIVED_MS)
    except Rejected:
        return False
    return True


def complete(event_type: str | None) -> dict[str, Any]:
    """What a type of event requires, and nothing else."""
    values = {"time": 1_772_380_802, "amount": "1", "currency": "CNY", "id": "i"}
    record: dict[str, Any] = {"type": event_type}
    for name in REQUIRED[event_type or "tip"]:
        record[name] = CHOICES[name][0] if FORMS[name] == "choice" else values[FORMS[name]]
    return record


# --- the documents --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_valid_draft_2020_12(name: str) -> None:
    made = schema(name)
    assert made["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(made)


def test_what_is_shipped_is_what_the_code_makes() -> None:
    shipped = {path.name: path.read_text("utf-8") for path in FOLDER.iterdir()}
    assert shipped == documents()  # else: python -m tests.core.write_schemas


@pytest.mark.parametrize("name", NAMES)
def test_each_property_is_described_in_one_line(name: str) -> None:
    def properties(node: Any) -> Iterator[tuple[str, Any]]:
        for key, value in node.items() if isinstance(node, dict) else ():
            if key in ("if", "then"):  # conditions on properties described elsewhere
                continue
            if key == "properties":
                yield from value.items()
            for each in value if isinstance(value, list) else [value]:
                yield from properties(each)

    found = list(properties(schema(name)))
    assert found
    for key, made in found:
        assert made.get("description", "").endswith("."), key
        assert "\n" not in made["description"]


def test_a_schema_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(KeyError):
        schema("gossip")


# --- events ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", PACKS)
def test_every_example_of_a_pack_is_an_event(pack: str) -> None:
    for records in examples(pack):
        for record in records:
            EVENT.validate(record)


INSTANTS = st.datetimes(datetime(2011, 1, 1), datetime(2099, 1, 1))
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
EPOCH_S = st.integers(1_262_304_000, RECEIVED_MS // 1000)
IDS = st.text(min_size=1, max_size=128) | st.integers(-(2**63), 2**64 - 1)
AMOUNTS = st.decimals(1, 100_000, places=2)

GOOD: dict[str, st.SearchStrategy[Any]] = {
    "id": IDS,
    "text": st.text(max_size=600),
    "time": EPOCH_S
    | EPOCH_S.map(lambda seconds: seconds * 1000)
    | EPOCH_S.map(lambda seconds: seconds + 0.5)
    | EPOCH_S.map(str)
    | st.builds(lambda at, offset: at.replace(tzinfo=offset).isoformat(), INSTANTS, OFFSETS)
    | INSTANTS.map(lambda at: at.replace(tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")),
    "amount": AMOUNTS.map(str) | AMOUNTS.map(float) | st.integers(1, 1_000_000),
    "currency": st.sampled_from(["CNY", "KRW", "USD"]),
    "flag": st.booleans(),
    "count": st.integers(0, 2**53) | st.integers(0, 1000).map(float),
    "age": st.integers(0, 150),
}
ODD: list[Any] = [[], {}, ["a"], {"a": 1}]
BAD: dict[str, list[Any]] = {
    "id": [*ODD, True, 1.5, "x" * 129],
    "text": [*ODD, True, 1],
    "time": [*ODD, True, -1, 0, 1_262_303_999, 32_503_680_001, 1_262_303_999_999, 10**17, "12",
             32_503_680_000_001, "yesterday", "2026-03-02", "2026-03-02T12:00:00", "2026-03-02Z"],
    "amount": [*ODD, True, 0, -1, 0.0, -0.5, 10**15 + 1, 1e16, "0", "0.00", "-1", "1,000", "1 CNY",
               "NaN", "9" * 16, "1" + "0" * 40],
    "currency": [*ODD, True, 1, "N" * 17],
    "flag": [*ODD, 0, 1, 1.0, "true", "yes"],
    "count": [*ODD, True, -1, 2.5, 2**53 + 1, "3"],
    "age": [*ODD, True, -1, 12.5, 151, "12"],
    "choice": [*ODD, True, 0, 1, "something else"],
}  # fmt: skip
NOTHING = st.sampled_from([None, ""])


def good(name: str) -> st.SearchStrategy[Any]:
    return st.sampled_from(CHOICES[name]) if FORMS[name] == "choice" else GOOD[FORMS[name]]


@st.composite
def events(draw: st.DrawFn, spoiled: int = 0) -> dict[str, Any]:
    """A canonical event of any type with some optional fields, `spoiled` of its fields wrong."""
    event_type = draw(st.sampled_from(sorted(REQUIRED)))
    record: dict[str, Any] = {"type": event_type}
    record |= {name: draw(good(name)) for name in REQUIRED[event_type]}
    more = draw(st.lists(st.sampled_from([n for n in FORMS if n not in record]), max_size=8))
    record |= {name: draw(good(name) | NOTHING) for name in more}
    if event_type == "tip" and draw(st.booleans()):
        record |= {"type": draw(NOTHING)}
    for name in draw(st.permutations(sorted(record)))[:spoiled]:
        record[name] = draw(st.sampled_from(BAD[FORMS[name]]) | NOTHING)
    return record | draw(st.dictionaries(st.text(min_size=30), st.none() | st.integers()))


@given(events())
def test_what_the_documents_allow_is_read_and_what_is_read_is_allowed(
    record: dict[str, Any],
) -> None:
    before = deepcopy(record)
    READER.read(record, RECEIVED_MS)
    EVENT.validate(record)
    assert record == before


@given(events(spoiled=2))
def test_reader_and_schema_refuse_the_same_records(record: dict[str, Any]) -> None:
    # A room's amounts are not read at all; the schema asks for their form all the same.
    assume(record.get("type") != "room" or not any(FORMS.get(n) == "amount" for n in record))
    assert accepts(record) == EVENT.is_valid(record)


@pytest.mark.parametrize("name", FORMS)
def test_a_wrong_value_of_any_field_is_refused_by_both_and_no_value_by_neither(name: str) -> None:
    tip = complete("tip")
    for wrong in BAD[FORMS[name]]:
        assert not accepts(tip | {name: wrong}), wrong
        assert not EVENT.is_valid(tip | {name: wrong}), wrong
    for nothing in (None, "") if name not in REQUIRED["tip"] else ():
        assert accepts(tip | {name: nothing})
        assert EVENT.is_valid(tip | {name: nothing})


@pytest.mark.parametrize("event_type", [*REQUIRED, None, ""])
def test_what_a_type_requires_must_be_there(event_type: str | None) -> None:
    whole = complete(event_type)
    assert accepts(whole)
    assert EVENT.is_valid(whole)
    for name in REQUIRED[event_type or "tip"]:
        missing = {key: value for key, value in whole.items() if key != name}
        for record in (missing, whole | {name: None}, whole | {name: ""}):
            with pytest.raises(Rejected) as refused:
                READER.read(record, RECEIVED_MS)
            assert refused.value.reason == "missing_field"
            assert not EVENT.is_valid(record)


# --- flags and decisions --------------------------------------------------------------------------


@pytest.mark.parametrize("pack", PACKS)
def test_decisions_on_a_packs_examples_hold_what_is_documented_and_no_more(pack: str) -> None:
    decision = Draft202012Validator(closed(schema("decision")))
    flag = Draft202012Validator(closed(schema("flag")))
    flags = 0
    for record in decisions(pack):
        record = json.loads(json.dumps(record))
        decision.validate(record)
        for each in record["flags"]:
            flag.validate(each)
            flags += 1
    assert flags >= len(policy(pack).rules)


def test_a_statistical_flag_holds_what_is_documented_and_no_more() -> None:
    record = outsized()
    Draft202012Validator(closed(schema("decision"))).validate(record)
    (flag,) = [each for each in record["flags"] if each["kind"] == "outsized"]
    assert "rule" not in flag["reasons"][0]
    assert flag["reasons"][0]["usual"] is not None


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("kind",), "theft"),
        (("severity",), "critical"),
        (("action",), "ban"),
        (("score",), 1.01),
        (("reasons",), []),
        (("reasons", 0, "code"), "felt_wrong"),
        (("reasons", 0, "family"), "intuition"),
        (("reasons", 0, "text"), "in one language"),
        (("subject", "type"), "room"),
        (("features", "note"), "text"),
        (("event_time",), "2026-03-02T12:00:00Z"),
        (("detector", "shadow"), None),
    ],
)
def test_a_flag_outside_its_closed_sets_is_refused(path: tuple[Any, ...], wrong: Any) -> None:
    flag = deepcopy(outsized()["flags"][0])
    FLAG.validate(flag)
    here: Any = flag
    for step in path[:-1]:
        here = here[step]
    here[path[-1]] = wrong
    assert not FLAG.is_valid(flag)


@pytest.mark.parametrize("key", schema("flag")["required"])
def test_a_flag_without_one_of_its_keys_is_refused(key: str) -> None:
    flag = outsized()["flags"][0]
    assert not FLAG.is_valid({name: value for name, value in flag.items() if name != key})


def test_a_flag_in_a_storm_holds_what_is_documented_and_no_more() -> None:
    flag = Draft202012Validator(closed(schema("flag")))
    scorer, reader = engine("cn", storm_flags=1)
    found = []
    for record in children():
        decision = scorer.process(reader.read(record, RECEIVED_MS))
        assert not isinstance(decision, Skipped)
        found += [each.record for each in decision.flags]
    for each in found:
        flag.validate(each)
    assert found[-1]["paged"] is False
    assert found[-1]["storm"] is True


def children() -> Iterator[dict[str, Any]]:
    """Tips of four tippers who say that they are twelve, one after the other."""
    for number in range(4):
        yield {
            "event_id": f"e{number}", "event_time": 1_772_424_000_000 + number,
            "tipper_id": f"t{number}", "streamer_id": "s1", "amount": "1", "currency": "CNY",
            "tipper_age": 12,
        }  # fmt: skip


# --- accounts -------------------------------------------------------------------------------------


def test_credit_records_hold_what_is_documented_and_no_more() -> None:
    account = Draft202012Validator(closed(schema("account")))
    scorer, reader = engine("cn")
    found = []
    for record in children():
        decision = scorer.process(reader.read(record, RECEIVED_MS))
        assert not isinstance(decision, Skipped)
        found += decision.accounts
    assert len(found) == 4
    for each in found:
        account.validate(each)


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("tier",), "E"),
        (("score",), 121),
        (("score",), 97.5),
        (("attention",), "arrest"),
        (("reasons", 0, "code"), "felt_wrong"),
        (("reasons", 0, "points"), 3),
        (("reasons", 0, "kind"), "theft"),
        (("subject", "type"), "room"),
    ],
)
def test_a_credit_record_outside_its_closed_sets_is_refused(
    path: tuple[Any, ...], wrong: Any
) -> None:
    scorer, reader = engine("cn")
    decision = scorer.process(reader.read(next(children()), RECEIVED_MS))
    assert not isinstance(decision, Skipped)
    (record,) = decision.accounts
    ACCOUNT.validate(record)
    here: Any = record
    for step in path[:-1]:
        here = here[step]
    here[path[-1]] = wrong
    assert not ACCOUNT.is_valid(record)


def test_a_line_of_score_is_a_decision_or_says_why_not() -> None:
    DECISION.validate(outsized())
    for reason in REASONS:
        DECISION.validate({"line": 1, "rejected": reason, "detail": "amount: expected a number"})
    DECISION.validate({"line": 7, "skipped": "free_gift"})
    DECISION.validate({"line": 7, "skipped": "duplicate"})
    for wrong in (
        {"line": 0, "skipped": "free_gift"},
        {"line": 1, "skipped": "no_idea"},
        {"line": 1, "rejected": "no_idea", "detail": ""},
        {"line": 1, "rejected": "not_json"},
        {"event_id": "e1", "scores": {"any": 0.1}, "flags": []},
        {},
    ):
        assert not DECISION.is_valid(wrong)


def test_a_verdict_is_about_a_flag_or_an_event() -> None:
    verdict = {"verdict": "confirmed", "kind": "minor", "reviewer": "r1", "decided_at": 1772380802}
    VERDICT.validate(verdict | {"flag_id": "f_1", "note": "", "features": {"value_minor": 100}})
    VERDICT.validate(verdict | {"event_id": "e1", "decided_at": "2026-03-02T12:00:00+08:00"})
    assert not VERDICT.is_valid(verdict)
    assert not VERDICT.is_valid(verdict | {"flag_id": "f_1", "verdict": "guilty"})
    assert not VERDICT.is_valid(verdict | {"flag_id": "f_1", "decided_at": "yesterday"})


# --- topics ---------------------------------------------------------------------------------------


def test_the_topics_carry_their_configured_names_and_lifetimes() -> None:
    document = asyncapi(TOPICS | {"flags": "my-flags"})
    channels = document["channels"]
    assert {role: each["address"] for role, each in channels.items()} == TOPICS | {
        "flags": "my-flags"
    }
    days = {
        role: each["bindings"]["kafka"]["topicConfiguration"]["retention.ms"] / 86_400_000
        for role, each in channels.items()
        if role in ("verdicts", "flags", "scores", "dead_letters")
    }
    assert days == {"verdicts": 90, "flags": 90, "scores": 1, "dead_letters": 30}
    accounts = channels["accounts"]["bindings"]["kafka"]["topicConfiguration"]
    assert accounts == {"cleanup.policy": ["compact"]}
    assert "bindings" not in channels["tips"]  # the platform's own topic


def test_the_detector_sends_and_receives_what_the_design_says() -> None:
    verbs = {name: each["action"] for name, each in asyncapi(TOPICS)["operations"].items()}
    assert {name for name, verb in verbs.items() if verb == "receive"} == {
        "receive_tips", "receive_verdicts", "receive_rekeyed", "receive_checkpoints",
    }  # fmt: skip
    assert {name for name, verb in verbs.items() if verb == "send"} == {
        "send_flags", "send_scores", "send_accounts", "send_dead_letters", "send_rekeyed",
        "send_checkpoints",
    }  # fmt: skip


def test_a_dead_letter_says_why_and_where_from() -> None:
    message = asyncapi(TOPICS)["components"]["messages"]["DeadLetter"]
    names = ["reason", "detail", "topic", "partition", "offset", "version", "policy"]
    assert message["headers"]["required"] == list(DEAD_LETTER_HEADERS) == names
    assert message["headers"]["properties"]["reason"]["enum"] == list(REASONS)


def test_every_reference_of_the_topics_document_leads_somewhere() -> None:
    document = asyncapi(TOPICS)

    def references(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            if "$ref" in node:
                yield node["$ref"]
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    found = sorted(set(references(document)))
    assert "./decision.schema.json#/$defs/Decision" in found
    for reference in found:
        file_name, _, pointer = reference.partition("#")
        here: Any = json.loads((FOLDER / file_name).read_text("utf-8")) if file_name else document
        for step in filter(None, pointer.split("/")):
            here = here[step]
        assert here


def test_a_role_that_no_topic_has_is_an_error() -> None:
    with pytest.raises(KeyError):
        asyncapi({"gossip": "tip-gossip"})

"""The command `tip-detector`. Exit codes: 0 fine, 1 failed while running, 2 unusable input."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import orjson

warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"kafka(\..*)?|importlib")

import detector  # noqa: E402
from detector.assembly import Assembly  # noqa: E402
from detector.core.asyncapi import asyncapi  # noqa: E402
from detector.core.event import REASONS  # noqa: E402
from detector.core.mapping import MappingError  # noqa: E402
from detector.core.policy import PolicyError  # noqa: E402
from detector.core.schema import NAMES, schema  # noqa: E402
from detector.core.verdict import VerdictError  # noqa: E402
from detector.edges.logs import set_up as set_up_logs  # noqa: E402
from detector.runtime.ports import Stop  # noqa: E402
from detector.settings import ConfigError  # noqa: E402

log = logging.getLogger("detector")


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        return int(chosen.command(chosen))
    except (ConfigError, MappingError, PolicyError, VerdictError) as error:
        print(error, file=sys.stderr)
        return 2
    except (Stop, OSError) as error:
        if isinstance(error, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        print(f"tip-detector: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tip-detector", description="Scores live-stream tips in real time and says why."
    )
    parser.add_argument("--version", action="version", version=detector.__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(
        name: str, function: Any, text: str, among: Any = commands
    ) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = among.add_parser(name, help=text, description=text)
        added.set_defaults(command=function)
        if name not in ("simulate", "schema"):
            added.add_argument("--config", type=Path, help="settings (TOML); default: as shipped")
        return added

    command("run", _run, "the sidecar: Kafka in, flags out, /metrics /healthz /readyz")
    _add_console(command)
    demo = command("demo", _demo, "everything on this machine: broker, tips, detector, metrics")
    demo.add_argument("--seconds", type=float, help="end after this long; default: until Ctrl-C")
    demo.add_argument("--rate", type=int, default=1000, help="tips a second (default 1000)")
    score = command("score", _score, "events on stdin, one decision a line on stdout; no Kafka")
    score.add_argument("--mapping", help="the platform's mapping, by name or file")
    score.add_argument(
        "--state", type=Path, metavar="DIR",
        help="a directory that keeps what was learned from run to run; default: begin anew",
    )  # fmt: skip
    score.add_argument(
        "--verdicts", type=Path, metavar="FILE",
        help="verdicts to learn from, one a line in any order: each as events pass its decided_at",
    )  # fmt: skip
    feed = command("feed", _feed, "a recorded file (.gz too) into the tips topic")
    feed.add_argument("file", type=Path)
    feed.add_argument("--mapping", help="the platform's mapping, by name or file")
    feed.add_argument(
        "--speed", type=float, default=0,
        help="times the recording's own pace; 0 (default): as fast as the broker takes it",
    )  # fmt: skip
    simulate = command("simulate", _simulate, "seeded, made-up events and labels, for trying out")
    simulate.add_argument("--events", type=int, default=10_000)
    simulate.add_argument("--seed", type=int, default=1)
    simulate.add_argument("--days", type=float, default=14.0)
    simulate.add_argument("--out", type=Path, help="events file; default: standard output")
    simulate.add_argument("--labels", type=Path, help="labels file; default: none")
    _add_backtest(command)
    check = command("check-config", _check_config, "checks settings, mapping, pack and examples")
    check.add_argument("--mapping", help="the platform's mapping, by name or file")
    topics = command("topics", _topics, "describes the topics, or creates those that are missing")
    topics.add_argument("action", nargs="?", choices=("describe", "create"), default="describe")
    _add_doctor(command)
    _add_checkpoint(commands, command)
    _add_dead_letters(commands, command)
    _add_pseudonym(command)
    shown = command("schema", _schema, "prints a JSON Schema, or the AsyncAPI document")
    shown.add_argument("name", choices=(*NAMES, "asyncapi"))
    return parser


def _add_console(command: Any) -> None:
    text = "the reviewers' pages: cases, their evidence, verdicts; or an entry of its users' file"
    console = command("console", _console, text)
    console.add_argument("action", nargs="?", choices=("run", "user"), default="run")
    console.add_argument("name", nargs="?", metavar="NAME", help="user: the login's name")
    console.add_argument(
        "role", nargs="?", choices=("reader", "reviewer"), default="reader", metavar="ROLE",
        help="user: reader or reviewer; the password is read from the terminal or standard input",
    )  # fmt: skip


def _add_backtest(command: Any) -> None:
    text = "a recorded, labelled stream scored again, and a report of what is found and missed"
    added = command("backtest", _backtest, text)
    file = {"type": Path, "required": True, "metavar": "FILE"}
    added.add_argument("--events", help="JSON lines (.gz too)", **file)
    added.add_argument(
        "--labels", help="JSON lines: event_id and kind, null for good; or verdicts", **file
    )
    added.add_argument("--report", help="HTML to write; the JSON is put beside it", **file)
    added.add_argument("--mapping", help="the platform's mapping, by name or file")
    added.add_argument(
        "--against", type=Path, metavar="TOML", help="other settings to hold these against"
    )
    added.add_argument(
        "--verdicts", type=Path, metavar="FILE",
        help="verdicts to learn from: each as events pass its decided_at; default: none",
    )  # fmt: skip
    added.add_argument(
        "--show-ids", action="store_true", help="with ids: personal data; default: digests"
    )


def _add_doctor(command: Any) -> None:
    text = "looks at all that a run needs, says what is wrong and what to do; changes nothing"
    doctor = command("doctor", _doctor, text)
    doctor.add_argument("--mapping", help="the platform's mapping, by name or file")
    doctor.add_argument("--json", action="store_true", help="one JSON object; default: text")
    doctor.add_argument(
        "--records", type=_count, default=1000, metavar="N",
        help="try the mapping on the newest N records of the tips topic (default 1000)",
    )  # fmt: skip


def _add_pseudonym(command: Any) -> None:
    text = "prints the pseudonyms of ids, in order; needs the key that [pseudonyms] names"
    added = command("pseudonym", _pseudonym, text)
    added.add_argument(
        "ids", nargs="*", metavar="ID",
        help="default: one a line from standard input, which neither `ps` nor a history shows",
    )  # fmt: skip
    added.add_argument(
        "--find", metavar="PSEUDONYM", help="print the id that it stands for instead, if it is here"
    )


def _add_checkpoint(commands: Any, command: Any) -> None:
    text = "shows what state is saved in Kafka, and how much a restart would replay"
    checkpoint = commands.add_parser("checkpoint", help=text, description=text)
    actions = checkpoint.add_subparsers(title="actions", required=True, metavar="ACTION")
    inspected = command("inspect", _inspect_checkpoint, "one JSON object a partition", actions)
    inspected.add_argument("--partition", metavar="TOPIC/N", help="only this one; default: all")
    inspected.add_argument(
        "--verify", action="store_true", help="also load each state, as a restart would"
    )


def _add_dead_letters(commands: Any, command: Any) -> None:
    text = "lists what could not become an event, or sends it back to the tips topic"
    letters = commands.add_parser("dead-letters", help=text, description=text)
    actions = letters.add_subparsers(title="actions", required=True, metavar="ACTION")
    listed = command("list", _list_dead_letters, "one JSON object a line, oldest first", actions)
    listed.add_argument("--show", action="store_true", help="with key and value: personal data")
    replayed = command(
        "replay", _replay_dead_letters, "sends letters back, each exactly once", actions
    )
    replayed.add_argument("--dry-run", action="store_true", help="only say what would be sent")
    for each, what in ((listed, "list"), (replayed, "send")):
        each.add_argument(
            "--reason", choices=REASONS, metavar="REASON", help="only letters with this reason"
        )
        each.add_argument("--limit", type=_count, help=f"{what} at most so many; default: all")


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number, 0 or more")
    return int(text)


def _assemble(chosen: argparse.Namespace) -> Assembly:
    assembly = Assembly.load(chosen.config, getattr(chosen, "mapping", None))
    set_up_logs(assembly.settings.log.level, assembly.settings.log.format)
    return assembly


def _run(chosen: argparse.Namespace) -> int:
    from detector.service import Service

    assembly = _assemble(chosen)
    failed = assembly.check_policy()
    if failed:
        raise PolicyError("\n".join(failed))
    service = Service(assembly, chosen.config)
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: service.stop())
    signal.signal(signal.SIGHUP, lambda *_: service.reload())
    return 0 if service.run() else 1


def _console(chosen: argparse.Namespace) -> int:
    try:
        from detector.console.command import print_user, run_console
    except ImportError as error:
        raise Stop(
            f"the console needs its extra: pip install 'tip-detector[console]' ({error})"
        ) from None
    if chosen.action == "user":
        if not chosen.name:
            raise ConfigError("console user: expected NAME and ROLE")
        return print_user(chosen.name, chosen.role)
    return run_console(_assemble(chosen))


def _demo(chosen: argparse.Namespace) -> int:
    from detector.demo import run_demo

    return run_demo(chosen.config, chosen.seconds, chosen.rate)


def _score(chosen: argparse.Namespace) -> int:
    from detector.edges.verdict_file import read_verdicts
    from detector.scoring import score

    verdicts = [] if chosen.verdicts is None else read_verdicts(chosen.verdicts)
    return score(
        _assemble(chosen), sys.stdin.buffer, sys.stdout.buffer, chosen.state, verdicts=verdicts
    )


def _feed(chosen: argparse.Namespace) -> int:
    from detector.edges.feeder import feed

    if chosen.speed < 0:
        raise ConfigError(f"--speed {chosen.speed}: expected 0 or more")
    sent = feed(_assemble(chosen), chosen.file, chosen.speed)
    print(f"{sent:,} records sent", file=sys.stderr)
    return 0


def _simulate(chosen: argparse.Namespace) -> int:
    from detector.lab.simulate import Scenario, write

    try:
        scenario = Scenario(seed=chosen.seed, events=chosen.events, days=chosen.days)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    events = sys.stdout.buffer if chosen.out is None else chosen.out.open("wb")
    labels = None if chosen.labels is None else chosen.labels.open("wb")
    written = write(scenario, events, labels)
    for file in (events, labels):
        if file is not None:
            file.flush()
    print(f"{written:,} events of seed {chosen.seed}", file=sys.stderr)
    return 0


def _backtest(chosen: argparse.Namespace) -> int:
    from detector.backtesting import Request, backtest

    sides = [("default settings" if chosen.config is None else chosen.config.name,
              _assemble(chosen))]  # fmt: skip
    if chosen.against is not None:
        sides.append((chosen.against.name, Assembly.load(chosen.against, chosen.mapping)))
    return backtest(
        Request(chosen.events, chosen.labels, chosen.report, chosen.show_ids, chosen.verdicts),
        sides,
    )


def _check_config(chosen: argparse.Namespace) -> int:
    assembly = _assemble(chosen)
    failed = assembly.check_policy()
    if failed:
        raise PolicyError("\n".join(failed))
    build, shadow = assembly.build(), ""
    if assembly.shadow is not None:
        pack = assembly.shadow.policy
        shadow = f"shadow {pack.name} {pack.version} ({len(pack.rules)} rules, likewise), "
    print(
        f"fine: policy {build['policy']} ({len(assembly.policy.rules)} rules, all examples hold), "
        f"{shadow}mapping {build['mapping']}, {len(assembly.settings.currencies)} currencies"
    )
    return 0


def _doctor(chosen: argparse.Namespace) -> int:
    from detector.doctor.examination import examine
    from detector.doctor.finding import any_failed, to_record, to_text

    assembly = _assemble(chosen)
    kafka = logging.getLogger("kafka")  # its complaints become findings
    kafka.addHandler(logging.NullHandler())
    kafka.propagate = False
    findings = list(examine(assembly, chosen.records))
    if chosen.json:
        sys.stdout.buffer.write(orjson.dumps(to_record(findings)) + b"\n")
    else:
        print(to_text(findings))
    return 1 if any_failed(findings) else 0


def _topics(chosen: argparse.Namespace) -> int:
    from detector.edges.topics import create_topics, describe_topics

    settings = _assemble(chosen).settings
    if chosen.action == "create":
        for line in create_topics(settings):
            print(line)
    lines, are_all_there = describe_topics(settings)
    print("\n".join(lines))
    return 0 if are_all_there else 1


def _inspect_checkpoint(chosen: argparse.Namespace) -> int:
    from detector.edges.inspection import Summary, inspect

    assembly, summary = _assemble(chosen), Summary()
    lane = assembly.make_lane if chosen.verify else None
    for record in inspect(assembly.settings, chosen.partition, lane):
        sys.stdout.buffer.write(orjson.dumps(record) + b"\n")
        sys.stdout.buffer.flush()
        summary.add(record)
    print(summary, file=sys.stderr)
    return 1 if summary.errors else 0


def _list_dead_letters(chosen: argparse.Namespace) -> int:
    from detector.edges.dead_letters import Progress, open_letters

    settings = _assemble(chosen).settings
    progress, found = Progress(settings), Counter[str]()
    write = sys.stdout.buffer.write
    with open_letters(settings) as letters:
        for letter in letters:
            reason = letter.label.reason if letter.label else "no_label"
            if chosen.reason not in (None, reason):
                continue
            if chosen.limit is None or found.total() < chosen.limit:
                record = letter.to_record(progress.is_replayed(letter), chosen.show)
                write(orjson.dumps(record) + b"\n")
            found[reason] += 1
    sys.stdout.buffer.flush()
    by_reason = ", ".join(f"{reason} {count:,}" for reason, count in sorted(found.items()))
    print(f"{found.total():,} dead letters{by_reason and ': '}{by_reason}", file=sys.stderr)
    return 0


def _replay_dead_letters(chosen: argparse.Namespace) -> int:
    from detector.edges.replay import Outcome, replay

    settings, outcome = _assemble(chosen).settings, Outcome()
    try:
        replay(settings, outcome, chosen.reason, chosen.limit, chosen.dry_run)
    finally:
        print(f"{'dry run: ' if chosen.dry_run else ''}{outcome}", file=sys.stderr)
    return 0


def _pseudonym(chosen: argparse.Namespace) -> int:
    pseudonyms = _assemble(chosen).pseudonyms
    if pseudonyms is None:
        raise ConfigError("pseudonyms.key_file is empty: ids are written as they are")
    lines = (line.rstrip(b"\r\n") for line in sys.stdin.buffer)
    ids = chosen.ids or (line.decode("utf-8", "surrogateescape") for line in lines)
    write = sys.stdout.buffer.write
    if chosen.find is None:
        for each in ids:
            write(pseudonyms.of(each).encode() + b"\n")
        return 0
    if pseudonyms.once(chosen.find) != chosen.find:
        raise ConfigError(
            f"--find: found no pseudonym of this key, expected one that begins {pseudonyms.prefix}"
        )
    found = next((each for each in ids if pseudonyms.of(each) == chosen.find), None)
    if found is None:
        print("tip-detector: none of these ids has this pseudonym", file=sys.stderr)
        return 1
    write(found.encode("utf-8", "surrogateescape") + b"\n")
    return 0


def _schema(chosen: argparse.Namespace) -> int:
    document = asyncapi({}) if chosen.name == "asyncapi" else schema(chosen.name)
    sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

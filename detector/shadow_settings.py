"""The settings of a shadow: a pack and thresholds on trial, in a settings file of their own.

Such a file has the form of an operator's, so that a copy of it will do, and becomes the operator's
own when the trial went well. What it leaves out is as in force. Only `[policy]` and `[thresholds]`
may differ: everything else the two share.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from detector.core.problems import Problems, describe
from detector.settings import (
    ConfigError,
    Settings,
    check_relations,
    differences,
    find_beside,
    merge,
    read_toml,
)

_ON_TRIAL = ("policy", "thresholds")


class Trial(NamedTuple):
    """A shadow's settings, complete; its pack's name, if it is a path, is looked for beside a file:
    the shadow's if that one names it, else the operator's."""

    file: Path
    settings: Settings
    beside: Path | None


def load_shadow(settings: Settings, live: Path | None, defaults: Path) -> Trial | None:
    """The shadow that `shadow.config` names; None if it is empty.

    Args:
        settings: those in force.
        live: the operator's file they come from, beside which the shadow's is looked for first.
        defaults: the shipped `detector.toml`.

    Raises:
        ConfigError: with every problem of the shadow's file, one a line.
    """
    if not settings.shadow.config:
        return None
    file = find_beside(settings.shadow.config, live)
    found, as_written = read_toml(file), read_toml(defaults)
    if live is not None:
        merge(as_written, read_toml(live))
    problems, in_force = Problems(str(file)), settings.model_dump()
    others = {name: value for name, value in found.items() if name not in _ON_TRIAL}
    # What the environment overrides may stand there as it stands in the operator's file.
    changed = set(differences(others, in_force))
    for key in differences(others, as_written):
        if key in changed:
            problems.add_line(
                key,
                "differs from the settings in force: expected only [policy] and [thresholds] to",
            )
    on_trial = {name: found[name] for name in _ON_TRIAL if name in found}
    merge(in_force, on_trial)
    try:
        complete = Settings.model_validate(in_force)
    except ValidationError as error:
        describe(error, in_force, problems)
        raise ConfigError(problems.text()) from None
    check_relations(complete, problems)
    if problems:
        raise ConfigError(problems.text())
    names_pack = "pack" in on_trial.get("policy", {})
    return Trial(file, complete, file if names_pack else live)

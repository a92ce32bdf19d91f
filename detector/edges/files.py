"""Files: the shipped configuration, and a mapping or a policy pack by name or path."""

from __future__ import annotations

from pathlib import Path

from detector.core.mapping import Mapping, MappingError, parse_mapping
from detector.core.money import Currencies
from detector.core.policy import Policy, PolicyError, parse_policy


def shipped_config() -> Path:
    """The directory of `detector.toml`, `mappings` and `policies`: the checkout's `config`, or the
    copy inside the installed package."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "config"
    return installed if installed.is_dir() else package.parent / "config"


def find(name: str, folder: str, beside: Path | None) -> Path:
    """The file that a setting names.

    Args:
        name: a shipped file's name without ending, or a path.
        folder: `mappings` or `policies`.
        beside: the operator's config file; a relative path is looked for beside it first.
    """
    if "/" not in name and not name.endswith(".toml"):
        return shipped_config() / folder / f"{name}.toml"
    path = Path(name)
    if not path.is_absolute() and beside is not None and (beside.parent / path).exists():
        return beside.parent / path
    return path


def load_mapping(name: str, beside: Path | None = None) -> Mapping | None:
    """The mapping a setting names; None for the empty name: canonical events.

    Raises:
        MappingError: it cannot be read or used.
    """
    if not name:
        return None
    path = find(name, "mappings", beside)
    return parse_mapping(_read(path, MappingError), str(path))


def load_policy(name: str, currencies: Currencies, beside: Path | None = None) -> Policy:
    """The policy pack a setting names.

    Raises:
        PolicyError: it cannot be read or used.
    """
    path = find(name, "policies", beside)
    return parse_policy(_read(path, PolicyError), str(path), currencies)


def _read(path: Path, error_type: type[ValueError]) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        known = sorted(each.stem for each in path.parent.glob("*.toml"))
        hint = f"; shipped are {', '.join(known)}" if known else ""
        reason = getattr(error, "strerror", None) or str(error)
        raise error_type(f"{path}: {reason}{hint}") from None

"""Certificates for tests: an authority of its own and what it signed. Knows openssl only."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

CERTIFIED_HOST = "localhost"
"""The only name in a certificate unless told otherwise; its address 127.0.0.1 is not in it."""


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority of one folder."""

    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "ca.pem"

    @classmethod
    def make(cls, folder: Path) -> Authority:
        """A new one; nobody trusts it yet."""
        folder.mkdir(parents=True, exist_ok=True)
        made = cls(folder)
        _openssl(
            "req", "-x509", *_NEW_KEY, "-days", "2", "-subj", "/CN=Test Authority",
            "-keyout", str(folder / "ca.key"), "-out", str(made.certificate),
        )  # fmt: skip
        return made

    def sign(self, name: str, host: str = CERTIFIED_HOST) -> tuple[Path, Path]:
        """(certificate, key) for a host name, as `name`.pem and `name`.key."""
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        _openssl(
            "req", "-x509", *_NEW_KEY, "-days", "2", "-subj", f"/CN={host}",
            "-addext", f"subjectAltName=DNS:{host}",
            "-addext", "basicConstraints=critical,CA:FALSE",
            "-CA", str(self.certificate), "-CAkey", str(self.folder / "ca.key"),
            "-keyout", str(key), "-out", str(certificate),
        )  # fmt: skip
        return certificate, key


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr[-1000:]}")

"""Does what the Dockerfile does, without Docker: `python -m tests.deploy.image`.

Copies what `.dockerignore` lets in to an empty folder, runs every RUN step of the build stage there
with a virtual environment in a folder of its own, and asks what came of it for its version and
whether the shipped settings are good. Not shown: that the layers make an image, its healthcheck.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import detector

ROOT = Path(__file__).resolve().parents[2]
INSTALLED = "/opt/tip-detector"


def run_steps(dockerfile: str) -> list[str]:
    """The commands of RUN, with continued lines joined.

    >>> run_steps("FROM x\\nRUN a && \\\\\\n    b\\nCMD c")
    ['a &&     b']
    """
    joined = re.sub(r"\\\n", "", dockerfile)
    return re.findall(r"^RUN (.+)$", joined, re.MULTILINE)


def copy_context(target: Path) -> None:
    """What `COPY . .` copies."""
    for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines():
        if line.startswith("!"):
            source = ROOT / line[1:]
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, target / source.name)


def main() -> int:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")
    steps = run_steps(dockerfile)
    with tempfile.TemporaryDirectory() as folder:
        source, installed = Path(folder, "src"), Path(folder, "installed")
        source.mkdir()
        copy_context(source)
        clean = {"PATH": os.environ["PATH"], "HOME": folder}
        clean |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        for step in steps:
            command = step.replace(INSTALLED, str(installed))
            print(f"RUN {command}", flush=True)
            subprocess.run(["/bin/sh", "-c", command], cwd=source, env=clean, check=True)
        program = installed / "bin" / "tip-detector"
        for arguments in (["--version"], ["check-config"]):
            done = subprocess.run(
                [program, *arguments], cwd=folder, env=clean, text=True, capture_output=True,
                check=True,
            )  # fmt: skip
            print(f"tip-detector {arguments[0]}: {done.stdout.splitlines()[0]}", flush=True)
            if arguments == ["--version"] and detector.__version__ not in done.stdout:
                return 1
    print(f"{len(steps)} steps of the Dockerfile done")
    return 0 if steps else 1


if __name__ == "__main__":
    sys.exit(main())

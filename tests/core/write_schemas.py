"""Writes `detector/schemas/`: python -m tests.core.write_schemas, whenever a record changes."""

from __future__ import annotations

import json
from pathlib import Path

from detector.core.asyncapi import TOPICS, asyncapi
from detector.core.schema import NAMES, schema

FOLDER = Path(__file__).resolve().parents[2] / "detector" / "schemas"


def documents() -> dict[str, str]:
    """File name → text of each document that is shipped."""
    made = {f"{name}.schema.json": schema(name) for name in NAMES}
    made["asyncapi.json"] = asyncapi(TOPICS)
    return {
        name: json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        for name, document in made.items()
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file_name, text in documents().items():
        (FOLDER / file_name).write_text(text, "utf-8")

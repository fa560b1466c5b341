"""A short hash of what a run was trained on, or a file was made of."""

import hashlib
import json
from collections.abc import Iterable


def digest(values: Iterable[object]) -> str:
    """A short hash of plain values."""
    content = hashlib.sha256()
    for value in values:
        content.update(json.dumps(value).encode() + b"\n")
    return content.hexdigest()[:16]

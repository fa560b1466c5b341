"""Code blocks of pages."""

import re
from pathlib import Path


def blocks(path: Path, language: str) -> list[str]:
    """The code blocks of a page in a language, in order, each command on one line."""
    found = re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)
    return [joined(block) for block in found]


def joined(text: str) -> str:
    """Text with each command that goes on behind a backslash on one line."""
    return re.sub(r" *\\\n *", " ", text)

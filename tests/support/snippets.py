"""Code blocks of pages."""

import re
from pathlib import Path


def blocks(path: Path, language: str) -> list[str]:
    """The code blocks of a page in a language, in order."""
    found = re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)
    return [str(block) for block in found]

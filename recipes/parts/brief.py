"""Texts of errors that are as long as it pleases others, in one line."""

import re

LONGEST = 400  # characters


def brief(text: str, longest: int = LONGEST) -> str:
    """The first sentences of a text, or parts of them, on one line; nothing is cut within a word.

    Args:
        text: of several lines, perhaps
        longest: that it may be, characters; the first part stays whole all the same
    """
    text = " ".join(text.split())
    if len(text) <= longest:
        return text
    for end in (r"(?<=[.;!?]) ", r"(?<=[,:]) ", r" "):
        parts = re.split(end, text)
        kept = parts.pop(0)
        while parts and len(kept) + len(parts[0]) + 1 < longest:
            kept = f"{kept} {parts.pop(0)}"
        if len(kept) <= longest:
            break
    return f"{kept.rstrip(',:; ')} ... (all of it: RECIPES_DEBUG=1)"

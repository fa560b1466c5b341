"""Names that others gave, as they are printed."""

import unicodedata

STEERING = ("Cc", "Cf", "Zl", "Zp")  # control, format, line and paragraph characters


def printable(text: str) -> str:
    """A text of one line in which what would steer a terminal is shown, not sent.

    A run, a column or a file may be called "ESC [2J", which clears the screen, or hold characters
    that turn the direction of what follows.
    """
    return "".join(ascii(c)[1:-1] if unicodedata.category(c) in STEERING else c for c in text)

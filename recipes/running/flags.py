"""The flags of a command line as options and values, before a parser has seen them."""

from collections.abc import Iterator, Sequence

import yaml


def pairs(flags: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The option of each flag, without its dashes, and its text, of `--key=value` or `--key value`.

    Args:
        flags: of a command line
    """
    for flag, after in zip(flags, [*flags[1:], ""], strict=False):
        if flag.startswith("--"):
            key, equals, text = flag.removeprefix("--").partition("=")
            yield key, text if equals else after


def read_value(text: str) -> object:
    """What a flag's value is as YAML, or the text if it is none."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text

"""Lists in which nothing may be twice."""

from collections.abc import Iterable


def check_distinct(option: str, values: Iterable[object]) -> None:
    """Refuses a list with the same value twice: what it stands for would count twice.

    Args:
        option: that the list was given by
        values: of the list

    Raises:
        ValueError: naming the option and the value
    """
    values = list(values)
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{option}={values} has {value} more than once")

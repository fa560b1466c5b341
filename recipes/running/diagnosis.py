"""What jsonargparse says of a value that it does not take, as one line that a user can act on.

It tries each type that an option may have, and each within it, and tells of all of them: a tree by
indentation. The line here is of the leaf that says most.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from inspect import isabstract
from typing import Any, get_args, get_origin

from jsonargparse import ArgumentParser, Namespace

# The types of options, by the names that jsonargparse has for them, in words.
TYPES = {
    "PositiveInt": "a whole number above 0",
    "NonNegativeInt": "a whole number, 0 or above",
    "PositiveFloat": "a number above 0",
    "NonNegativeFloat": "a number, 0 or above",
    "ClosedUnitInterval": "a number from 0 to 1",
    "OpenUnitInterval": "a number between 0 and 1",
    "ShareBelowOne": "a number from 0 to below 1",
    "LengthInUnits": "a length such as 1000ba, 5ep or 10%",
    "PositiveLengthInUnits": "a length above 0 such as 1000ba, 5ep or 10%",
    "Images": "a number of images such as 20000im",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "list": "a list such as [1, 2], to which += adds",
    "dict": "a mapping such as {a: 1}",
}
GENERIC = ("Callback", "Module", "Logger", "LightningDataModule")  # tried in vain for a list's
# Kinds of faults, those that say most first.
OPTION, REQUIRED, RAISED, CLASS, TYPE = range(5)


@dataclass
class Fault:
    """Why a value is not taken.

    Attributes:
        kind: one of the above
        option: of the command line, without dashes
        owner: the class that the option is of, if it is of one, by its path
        said: the option that is not there, those that are needed, the type, or the text
        depth: columns that it is indented by
        value: that was given, if it is known
        is_whole: whether the value is all of the option's, not a part of a list
    """

    kind: int
    option: str
    owner: str
    said: str
    depth: int
    value: str | None = None
    is_whole: bool = False


def faults(text: str) -> list[Fault]:
    """All that is wrong by what jsonargparse says, in its order."""
    found: list[Fault] = []
    within: list[tuple[int, str, str]] = []  # columns, option and class of what is above
    text = text.replace("typing.", "")
    made = re.search(r"Got value: Namespace\(class_path='([\w.]+)'", text)
    for line in text.splitlines():
        said = line.strip().removeprefix("- ")
        depth = len(line) - len(line.lstrip())
        while within and within[-1][0] >= depth and said:
            within.pop()
        option, owner = within[-1][1:] if within else ("", "")
        if callable_ := re.match(r"Type .* expects a function or a callable class: (.*)", said):
            owner, said = made[1] if made else owner, callable_[1]
        if key := re.match(r'Parser key "([\w.]+)":', said):
            within.append((depth, f"{option}.{key[1]}" if option else key[1], owner))
        elif problem := re.match(r"Problem with given class_path '([\w.]+)':", said):
            within.append((depth, option, problem[1]))
        elif given := re.match(r"Given value: (.*?)(\. Got value: .*)?$", said):
            for fault in found:
                if not fault.is_whole and fault.depth >= depth:
                    fault.value, fault.is_whole = nested(given[1]), True
        elif fault := leaf(said):
            kind, words, value = fault
            found.append(Fault(kind, option, owner, words, depth, value))
    return found


def nested(value: str) -> str:
    """A given value; of an option within a class, that option's."""
    inner = re.fullmatch(r"NestedArg\(key='[\w.]+', val=(.*)\)", value)
    return inner[1].strip("'") if inner else value


def leaf(said: str) -> tuple[int, str, str | None] | None:
    """Kind, words and value of a fault that one line tells; nothing for a line that tells none."""
    if option := re.match(r"Option '([\w.]+)' is not accepted", said):
        return OPTION, option[1], None
    if needs := re.match(r"the following arguments are required: (.+)", said):
        return REQUIRED, needs[1], None
    if kind := re.match(r"Not of type (\w+): (.*)", said):
        value = re.match(r"(\S+) does not conform|.*: '(.*)'$", kind[2])
        return TYPE, kind[1], value and (value[1] or value[2])
    if kind := re.match(r"Expected an? (Literal\[.*?\])(?:\. Got value: (.*))?$", said):
        return TYPE, kind[1], kind[2]
    if kind := re.match(r"Expected (?:an? )?<class '([\w.]+)'>(?:\. Got value: (.*))?$", said):
        return TYPE, kind[1].rpartition(".")[2], kind[2]
    if name := re.match(r"Expected (?:a )?dot import path string: (\S+)", said):
        return CLASS, name[1], None
    if re.match(r"module '[\w.]+' has no attribute|No module named", said):
        return CLASS, "", None
    if base := re.match(r"Expected an instantiatable class, but ([\w.]+) is abstract", said):
        return RAISED, f"name a class first, such as {', '.join(concrete(base[1]))}", None
    skipped = r"Expected a path but|Does not validate|Subtypes: |Errors:|Given value type|"
    skipped += r"Not a valid subclass|Subclass types expect|a class path \(str\)|a dict |$"
    return None if re.match(skipped, said) else (RAISED, said, None)


def diagnose(text: str, parser: ArgumentParser | None = None) -> str | None:
    """The line that says most; None if the text is none of jsonargparse's trees.

    Args:
        text: of its error
        parser: that raised it, to look for similar names of classes
    """
    if not re.search(r'Parser key "|Does not validate against any|Problem with given class', text):
        return None
    found = faults(text)
    if not found:
        given = re.search(r'Parser key "([\w.]+)"(?s:.*)Given value: (.*)', text)
        return given and f"--{given[1]}={given[2]} is not accepted, see --help"
    # Of a list of classes the base class is tried too, which has no options.
    rank = [
        (f.owner.rpartition(".")[2] in GENERIC, f.kind, number) for number, f in enumerate(found)
    ]
    best = found[min(rank)[2]]
    if best.kind == TYPE:
        return of_types(best, [f.said for f in found if f.kind == TYPE and f.option == best.option])
    if best.kind == RAISED:
        return (
            best.said if "--" in best.said or not best.option else f"--{best.option}: {best.said}"
        )
    if best.kind == CLASS:
        return of_class(best, text, parser)
    owner = best.owner.rpartition(".")[2]
    if best.kind == REQUIRED:
        needed = ", ".join(f"--{best.option}.{name}" for name in best.said.split(", "))
        return f"--{best.option}={owner} needs {needed}"
    return f"--{best.option}.{best.said}: {no_option(best.said, best.owner)}"


def of_types(fault: Fault, types: list[str]) -> str:
    """What an option takes, in words."""
    words = [in_words(kind) for kind in dict.fromkeys(types)]
    words = [each for each in words if each != "null"] or words
    value = "" if fault.value is None else f"={fault.value}"
    within = ": each" if fault.is_whole and value.startswith("=[") and "list" not in types else ""
    return f"--{fault.option}{value}{within} must be {' or '.join(words)}"


def in_words(kind: str) -> str:
    """A type in words."""
    if kind.startswith("Literal["):
        return f"one of {kind[8:-1].replace(chr(39), '')}"
    return TYPES.get(kind, "null" if kind == "NoneType" else kind)


def no_option(name: str, owner: str) -> str:
    """That a class has no option of a name, but which ones it has."""
    known = options_of(owner)
    if not known:
        return f"no such option; {owner.rpartition('.')[2]} has none"
    close = get_close_matches(name, known, n=1)
    hint = f"; is it {close[0]}?" if close else ""
    return f"no such option; {owner.rpartition('.')[2]} has {', '.join(known)}{hint}"


def options_of(path: str) -> list[str]:
    """The options of a class, or of a function that makes something."""
    parser = ArgumentParser()
    made = named(path)
    add = parser.add_class_arguments if isinstance(made, type) else parser.add_function_arguments
    names = add(made, fail_untyped=False, sub_configs=True)
    return [name for name in names if name != "params"]  # which an optimizer gets otherwise


def named(path: str) -> Any:  # noqa: ANN401 - a class or a function
    """What a class_path is of."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def concrete(path: str) -> list[str]:
    """The names of the classes that are made of an abstract one."""
    return sorted(each.__name__ for each in subclasses([named(path)]) if not isabstract(each))


def of_class(fault: Fault, text: str, parser: ArgumentParser | None) -> str:
    """That there is no class of a name, and which one may be meant."""
    given = re.search(r"Expected a path but (\S+) either|class_path '([\w.]+)'", text)
    name = fault.said or (given and (given[1] or given[2])) or ""
    action = next((a for a in parser._actions if a.dest == fault.option), None) if parser else None
    known = {each.__name__ for each in subclasses(classes(getattr(action, "_typehint", None)))}
    close = get_close_matches(name.rpartition(".")[2], sorted(known), n=1)
    hint = f"; is it {close[0]}?" if close else ""
    return f"--{fault.option}={name}: no class of this name, nor a class_path{hint}"


def classes(kind: Any) -> list[type]:  # noqa: ANN401 - a type, or an expression of types
    """The classes that an option may be an instance of, or make one of."""
    if isinstance(kind, type) and get_origin(kind) is None:
        return [] if kind in (type(None), str, int, float, bool, list, dict, Namespace) else [kind]
    return [found for part in get_args(kind) for found in classes(part)]


def subclasses(of: Iterable[type]) -> set[type]:
    """Classes, and all that are made of them."""
    return {each for one in of for each in [one, *subclasses(one.__subclasses__())]}

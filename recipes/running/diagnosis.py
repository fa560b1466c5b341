"""What jsonargparse says of a value that it does not take, as one line that a user can act on.

It tries each type that an option may have, and each within it, and tells of all of them: a tree by
indentation. The line here is of the leaf that says most.
"""

import re
from dataclasses import dataclass

from jsonargparse import ArgumentParser

from recipes.running.options import concrete, fitting, named, options_of, similar
from recipes.running.recipe import OLD, PRESENT, is_old

# The types of options, by the names that jsonargparse has for them, in words.
TYPES = {
    "PositiveInt": "a whole number above 0",
    "NonNegativeInt": "a whole number, 0 or above",
    "PositiveFloat": "a number above 0",
    "NonNegativeFloat": "a number, 0 or above",
    "PositiveFinite": "a finite number above 0",
    "NonNegativeFinite": "a finite number, 0 or above",
    "AtLeastOne": "a number, 1 or above",
    "AtLeastTwo": "a whole number, 2 or above",
    "Factor": "a number, 1 or above",
    "Decay": "a number above 0, 1 at most",
    "StepExponent": "a number above 0.5, 1 at most",
    "BelowHalf": "a number above 0 and below 0.5",
    "Levels": "a whole number from 2 to 65536",
    "Steps": "a whole number from 2 to 1048576",
    "Temperature": "a number from 0.001 to 1000",
    "ClosedUnitInterval": "a number from 0 to 1",
    "OpenUnitInterval": "a number between 0 and 1",
    "ShareBelowOne": "a number from 0 to below 1",
    "Seed": "a whole number from 0 to 4294967295",
    "LengthInUnits": "a length such as 1000ba, 5ep or 10%",
    "PositiveLengthInUnits": "a length above 0 such as 1000ba, 5ep or 10%",
    "Images": "a number of images such as 20000im",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "list": "a list such as [1, 2], to which += adds",
    "dict": "a mapping such as {a: 1}",
    "NoneType": "null",
}
# Tried in vain, where a list of classes is asked for: it has no options.
GENERIC = ("Callback", "Module", "Logger", "LightningDataModule")
# Kinds of faults, those that say most first.
OPTION, REQUIRED, RAISED, CLASS, TYPE = range(5)
# What a line says: the kind of fault, what is wrong, and perhaps the value.
LEAVES = (
    (OPTION, r"Option '([\w.]+)' is not accepted"),
    (REQUIRED, r"the following arguments are required: (.+?)(?:\. Got value: .*)?$"),
    (TYPE, r"Not of type (\w+): (?:(\S+) does not conform.*|.*: '(.*)')?"),
    (TYPE, r"Expected an? (Literal\[.*?\])(?:\. Got value: (.*))?$"),
    (TYPE, r"Expected (?:an? )?<class '(?:\w+\.)*(\w+)'>(?:\. Got value: (.*))?$"),
    (CLASS, r"Expected (?:a )?dot import path string: (\S+)"),
    (CLASS, r"Unexpected import path format: (.+)"),
    (CLASS, r"(?:module '[\w.]+' has no attribute|No module named)()"),
)
OTHER_KIND = re.compile(
    r"(?:Import path|Expected) ?'?([\w.]*)'? (?:does not correspond to|to be) a subclass of "
    r"(?:<class ')?(\w+)"
)
SKIPPED = re.compile(
    r"Expected a path but|Does not validate|Subtypes: |Errors:|Given value|Not a valid subclass|"
    r"Subclass types expect|a class path \(str\)|a dict |Parser key|Problem with given class_path|$"
)


@dataclass
class Fault:
    """Why a value is not taken.

    Attributes:
        kind: one of the above
        option: of the command line, without dashes
        owner: the class that the option is of, if it is of one, by its path
        said: the option that is not there, those that are needed, the type, or the text
        value: that was given, if it is known
    """

    kind: int
    option: str
    owner: str
    said: str
    value: str | None = None


def faults(text: str) -> list[Fault]:
    """All that is wrong by what jsonargparse says, in its order."""
    found: list[Fault] = []
    within: list[tuple[int, str, str]] = []  # columns, option and class of what is above
    made = re.search(r"Got value: Namespace\(class_path='([\w.]+)'", text)
    for line in text.replace("typing.", "").split("\n"):  # values may hold other ends of lines
        said = line.strip().removeprefix("- ")
        depth = len(line) - len(line.lstrip())
        while within and within[-1][0] >= depth and said:
            within.pop()
        option, owner = within[-1][1:] if within else ("", "")
        if function := re.match(r"Type .* expects a function or a callable class: (.*)", said):
            owner, said = made[1] if made else owner, function[1]
        if key := re.match(r'Parser key "([\w.]+)":', said):
            within.append((depth, f"{option}.{key[1]}".strip("."), owner))
        elif problem := re.match(r"Problem with given class_path '([\w.]+)':", said):
            within.append((depth, option, problem[1]))
        elif given := re.match(r"Given value: (.*?)(?:\. Got value: .*)?$", said):
            inner = re.fullmatch(r"NestedArg\(key='[\w.]+', val=(.*)\)", given[1])
            for fault in found:
                if fault.option == option:
                    fault.value = inner[1].strip("'") if inner else given[1]
        elif fault := leaf(said, option, owner):
            found.append(fault)
    return found


def leaf(said: str, option: str, owner: str) -> Fault | None:
    """The fault that one line tells, None if it tells none."""
    for kind, pattern in LEAVES:
        if match := re.match(pattern, said):
            value = next((group for group in match.groups()[1:] if group), None)
            return Fault(kind, option, owner, match[1], value)
    return None if SKIPPED.match(said) else Fault(RAISED, option, owner, said)


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
    best = min(found, key=lambda f: (f.owner.rpartition(".")[2] in GENERIC, f.kind))
    owner = best.owner.rpartition(".")[2]
    if best.kind == OPTION:
        return f"--{best.option}.{best.said}: {no_option(best.said, best.owner)}"
    if best.kind == REQUIRED:
        needed = ", ".join(f"--{best.option}.{name}" for name in best.said.split(", "))
        return f"--{best.option}={owner} needs {needed}"
    if best.kind == CLASS:
        return of_class(best, text, parser)
    if best.kind == TYPE:
        types = [f.said for f in found if f.kind == TYPE and f.option == best.option]
        return of_types(best, types, is_list="[list[" in text or ", list[" in text)
    return of_text(best, text, parser)


def no_option(name: str, owner: str) -> str:
    """That a class has no option of a name, but which ones it has."""
    known = options_of(owner)
    has = ", ".join(known) or "none"
    return f"no such option; {owner.rpartition('.')[2]} has {has}{similar(name, known)}"


def of_class(fault: Fault, text: str, parser: ArgumentParser | None) -> str:
    """That there is no class of a name, and which one may be meant."""
    given = re.search(r"Expected a path but (.+) either|class_path '([\w.]+)'", text)
    name = fault.said or (given and (given[1] or given[2])) or ""
    known = [each.__name__ for each in fitting(parser, fault.option)]
    hint = similar(name.rpartition(".")[2], known)
    return f"--{fault.option}={name}: no class of this name, nor a class_path{hint}"


def of_types(fault: Fault, types: list[str], is_list: bool = False) -> str:
    """What an option takes, in words.

    Args:
        fault: of the option
        types: that were tried
        is_list: whether a list may be given, so that these are its items'
    """
    words = [in_words(kind) for kind in dict.fromkeys(types)]
    words = [each for each in words if each != "null"] or words
    value = "" if fault.value is None else f"={fault.value}"
    if "'init_args'" in value and "'class_path'" not in value:
        return f"--{fault.option}{value}: init_args need a class_path beside them"
    within = ": each" if is_list and value.startswith("=[") and "list" not in types else ""
    return f"--{fault.option}{value}{within} must be {' or '.join(words)}"


def in_words(kind: str) -> str:
    """A type in words."""
    if kind.startswith("Literal["):
        return f"one of {kind[8:-1].replace(chr(39), '')}"
    return TYPES.get(kind, kind)


def of_text(fault: Fault, text: str, parser: ArgumentParser | None) -> str:
    """What was raised, with the option in front; of a class that does not fit, why."""
    if "is abstract" in fault.said:
        name = (fault.value or "").rpartition(".")[2]
        names = ", ".join(concrete(fitting(parser, fault.option), name))
        return f"--{fault.option}={name} is the base of others: name one of {names}"
    if other := OTHER_KIND.match(fault.said):
        name = other[1] or re.search(r"\w+(\.\w+)+|$", fault.value or "")[0]
        said = f"is of {OLD}: {PRESENT}" if is_old(named(name)) else f"is no {other[2]}"
        return f"--{fault.option}={name} {said}"
    return fault.said if "--" in fault.said else f"--{fault.option}: {fault.said}"

"""The weights that a network starts from: those of a file that fit it, and what does not."""

import hashlib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from recipes.parts.averages import placed
from recipes.parts.finite import first_diverged
from recipes.parts.lora import ADAPTERS, is_adapted, scales
from recipes.parts.trained_on import say_other_data
from recipes.parts.weight_files import Origin, chosen, short, tensors

Patterns = list[str] | str | None
EXCEPT = "--model.weights_except"
# Arguments of modules that matter at the start of a training alone.
STARTS = (
    *("weights", "weights_except", "student_weights"),
    *("generator_weights", "discriminator_weights"),
)
COUNTER = ".num_batches_tracked"  # of batch-norm; torch before 0.4.1 had none


class Start:
    """The files of weights that a module's networks start from.

    Args:
        leave_out: as in `give`, of each file
        files: paths, by the module's argument: `weights` or `<network>_weights`; none is read yet

    Raises:
        ValueError: if something is to be left out of no file

    Attributes:
        read: path and sha256 of the files that networks have their weights of, by the network's
            name: for the run's run.json
    """

    def __init__(self, leave_out: Patterns, **files: str | None) -> None:
        self.leave_out = leave_out
        self.files = {option: path for option, path in files.items() if path is not None}
        self.read: dict[str, dict[str, str]] = {}
        self.begun: set[str] = set()  # the options that a fit has looked at
        if leave_out and not self.files:
            raise ValueError(f"{EXCEPT}={leave_out}: there are no weights to leave it out of")

    def give(self, module: LightningModule, **networks: nn.Module | list[nn.Module | None]) -> None:
        """Gives networks their weights, unless the fit resumes, or this module has been fit before.

        To be called in `on_fit_start`.

        Args:
            module: that is trained
            networks: by the option of their file; several have the same start

        Raises:
            FileNotFoundError, ValueError: from the function `give`
        """
        for option, network in networks.items():
            source = getattr(network, "source", None)
            if source:  # of a pretrained network
                self.note("network", source)
            if option in self.begun:
                continue
            self.begun.add(option)
            if (path := self.files.get(option)) is None:
                if is_adapted(network) and not (source or module.trainer.ckpt_path):
                    said = "the weights beside the adapters are as initialised: give trained ones"
                    rank_zero_info(f"--model.{option}: {said}")
                continue
            if module.trainer.ckpt_path:
                continue
            name = option.removesuffix("weights").rstrip("_") or "network"
            for each in network if isinstance(network, list) else [network]:
                if each is not None:
                    note = give(each, path, f"--model.{option}", self.leave_out, name)
            rank_zero_info(note)
            say_other_data(f"--model.{option}", path, module, has_head=not self.leave_out)
            self.note(name, path)

    def note(self, name: str, path: str | None) -> None:
        """Notes the file that a network has its weights of."""
        if path is not None:
            self.read[name] = {"path": path, "sha256": sha256(Path(path).expanduser())}


@torch.no_grad()
def give(
    network: nn.Module,
    path: str,
    option: str,
    leave_out: Patterns = None,
    name: str = "network",
    *,
    is_whole: bool = False,
) -> str:
    """Gives a network the weights of a file.

    Args:
        network: whole or sharded
        path: of the file
        option: that it was given by, for messages
        leave_out: names of layers, or patterns of names such as `*.bias`: what they match stays as
            it is
        name: what the network is called: of several tables that fit, the one of this name is read
        is_whole: whether all weights have to be in the file, as what is not learns nothing more

    Returns:
        what was read, in a line

    Raises:
        FileNotFoundError: if there is no such file
        ValueError: if it is damaged, holds more than plain values, does not fit the network, or a
            pattern matches nothing
    """
    own = tensors(network.state_dict())
    if (origin := Origin.of(Path(path).expanduser())) is not None:
        return give_adapter(network, path, option, leave_out, name, origin)
    table = chosen(Path(path).expanduser(), option, own, name)
    patterns = [leave_out] if isinstance(leave_out, str) else leave_out or []
    for pattern in patterns:
        if not any(is_matched(each, [pattern]) for each in (*own, *table.tensors)):
            raise ValueError(f"{EXCEPT}={pattern}: no such name, in {path} or the network")
    left = [each for each in own if is_matched(each, patterns)]
    wanted = {each: value for each, value in own.items() if each not in left}
    found = {k: v for k, v in table.tensors.items() if not is_matched(k, patterns)}
    if misfits := differences(found, wanted, network):
        layer, said = misfits
        way = f"{EXCEPT}={layer} leaves out what it names"
        way = f"give the network that it is of as --model.{name}" if is_whole else way
        raise ValueError(f"{option}={path} does not fit {type(network).__name__}: {said}. {way}")
    if diverged := first_diverged(found):
        raise ValueError(f"{option}={path}: {diverged} is not finite: its training diverged")
    for each, value in found.items():
        wanted[each].copy_(placed(value, wanted[each]))
    where = f" ({table})" if str(table) else ""
    kept = f"; {short(left)} left as initialised" if left else ""
    return f"{option}={path}: {len(found)} tensors{where}{kept}"


def give_adapter(
    network: nn.Module,
    path: str,
    option: str,
    leave_out: Patterns,
    name: str,
    origin: Origin,
) -> str:
    """Gives an adapted network the weights of an exported adapter, and of the file that it is of.

    Args:
        network: with adapters of the same layers and rank
        path: of the adapter
        option: as in `give`, like what follows
        leave_out: likewise
        name: likewise
        origin: of the adapter

    Returns:
        what was read, in a line

    Raises:
        FileNotFoundError, ValueError: from `give`; ValueError, too, if the base is not known, or is
            another file than the adapter was trained beside
    """
    own = tensors(network.state_dict())
    found = chosen(Path(path).expanduser(), option, own, name).tensors
    wanted = {k: v for k, v in own.items() if k in found or k.endswith(ADAPTERS)}
    said = [f"it lacks {k}" for k in wanted if k not in found]
    if misfits := differences(found, wanted, network):
        said = [misfits[1]]
    if not said and scales(network) != origin.scales:
        said = ["alpha is another one"]
    if said:
        way = "--model.network=recipes.parts.wrappers.lora, with the arguments of its fit"
        raise ValueError(f"{option}={path} is an adapter of another network: {said[0]}; {way}")
    if (whole := origin.files.get(name)) is None:
        raise ValueError(f"{option}={path} is an adapter of weights that were in no file")
    there = Path(whole["path"]).expanduser()
    if not there.is_file() or sha256(there) != whole["sha256"]:
        gone = "another file by now" if there.is_file() else "not there"
        raise ValueError(f"{option}={path} is an adapter of {there}, which is {gone}")
    patterns = [leave_out] if isinstance(leave_out, str) else leave_out or []
    line = give(network, whole["path"], option, [*patterns, *found], name)
    found = {k: v for k, v in found.items() if not is_matched(k, patterns)}
    for each, value in found.items():
        wanted[each].copy_(placed(value, wanted[each]))
    read = line.removeprefix(f"{option}=").partition(";")[0]
    return f"{option}={path}: an adapter's {len(found)} tensors beside {read}"


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_matched(name: str, patterns: Sequence[str]) -> bool:
    """Whether one of some patterns is a tensor's name, or that of a module that it is in."""
    return any(fnmatch(name, each) or fnmatch(name, f"{each}.*") for each in patterns)


def differences(
    found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], network: nn.Module
) -> tuple[str, str] | None:
    """The first layer that does not fit, and all that does not, by name and shape, in a line.

    Args:
        found: of a file
        wanted: the network's
        network: whose tensors may have two names, of which a file may have one
    """
    others = {
        name: f"{name} is {size(found[name])} there and {size(value)} here"
        for name, value in wanted.items()
        if name in found and size(found[name]) != size(value)
    }
    same: dict[int, list[str]] = {}
    for name, value in network.state_dict(keep_vars=True).items():
        same.setdefault(id(value), []).append(name)
    shared = {name for names in same.values() if found.keys() & set(names) for name in names}
    new = (COUNTER, *ADAPTERS)  # adapters start beside weights that were trained without them
    lacking = [k for k in wanted if not (k in found or k in shared or k.endswith(new))]
    unknown = [name for name in found if name not in wanted]
    parts = {"": list(others.values()), "it lacks ": lacking, "the network lacks ": unknown}
    said = [f"{kind}{short(names)}" for kind, names in parts.items() if names]
    if not said:
        return None
    first = next(iter([*others, *lacking, *unknown])).rpartition(".")
    return first[0] or first[2], "; ".join(said)


def size(tensor: Tensor) -> str:
    """A tensor's shape, such as 10x64, and its type where that is no floating-point number."""
    text = "x".join(map(str, tensor.shape)) or "a number"
    return text if tensor.is_floating_point() else f"{text} of {tensor.dtype}"

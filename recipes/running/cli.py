"""The command line that every recipe shares: LightningCLI, with one folder a run."""

import copy
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import wandb
import yaml
from jsonargparse import Namespace
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only
from lightning.pytorch.utilities.seed import isolate_rng

import datamodules  # noqa: F401 - imported classes are known to the parser by their short names
import recipes.parts.lenet
import recipes.parts.networks
import recipes.parts.pretrained
import recipes.parts.residual
import recipes.parts.reversible
import recipes.parts.sentences  # noqa: F401
from callbacks.best import best_of
from recipes.parts.convergence import Convergence
from recipes.parts.keys import dotted
from recipes.parts.manual_ddp import manual_ddp
from recipes.running.arguments import add_run_arguments, help_of_config
from recipes.running.assembly import complete, listed
from recipes.running.blame import blaming
from recipes.running.classes import classes_first, latest, own_defaults
from recipes.running.ending import Ending, Note, shared_folder
from recipes.running.files import SaveConfig
from recipes.running.filling import early_data, fill, fill_data, missing
from recipes.running.folders import read_facts
from recipes.running.lapsed import lapsed
from recipes.running.limits import refuse_meaningless, whole_first
from recipes.running.lock import Held, in_turn, lock_of, locked
from recipes.running.machine import refuse_absent
from recipes.running.messages import HelpFormatter, one_line, silence_noise
from recipes.running.predict import OwnOptions, refuse_elsewhere
from recipes.running.recipe import OLD, PRESENT, Recipe, is_old
from recipes.running.restart import unfinished, warn_of_shared_store
from recipes.running.resume import check_checkpoint, check_evaluated, check_resumed
from recipes.running.run import Run
from recipes.running.settings import fetch_nothing, in_order
from recipes.running.terminal import outcome, unknown, why_stopped
from recipes.running.tracker import check_mode
from recipes.running.widths import WidthsParser


class RecipeCLI(LightningCLI):
    """LightningCLI for one recipe.

    Args:
        module: the recipe's LightningModule
        args: command-line arguments
        callbacks: further ones, which no config names
        ending: what this process ends by
    """

    def __init__(
        self,
        module: type[LightningModule],
        args: list[str],
        callbacks: Sequence[Callback] = (),
        ending: Ending | None = None,
    ) -> None:
        self.command, self.ending = args, ending or Ending()
        self.further = [self.ending, *callbacks]
        self.recipe = Recipe.of(module)
        if is_old(module):
            raise ValueError(f"{module.__name__} is a LightningModule of {OLD}: {PRESENT}")
        every = {"exit_on_error": False, "allow_abbrev": False, "formatter_class": HelpFormatter}
        fetch_nothing()
        whole_first(Trainer.__init__)
        main = {**every, "prog": self.recipe.typed([]), "description": self.recipe.card}
        # A module that has loaders of its own needs no --data.
        has_data = module.train_dataloader is not LightningModule.train_dataloader
        with Held() as self.held:  # the lock on the run's folder
            super().__init__(
                module,
                None if has_data else LightningDataModule,
                subclass_mode_data=True,
                save_config_callback=SaveConfig,
                save_config_kwargs={"save_to_log_dir": False},
                parser_class=WidthsParser,
                parser_kwargs=main | {name: dict(every) for name in self.subcommands()},
                auto_configure_optimizers=False,
                args=args,
            )

    def subcommands(self) -> dict[str, set[str]]:
        """The one that is asked for, if it is there: each parser takes a tenth of a second."""
        every = LightningCLI.subcommands()
        asked = self.command[0] if self.command else ""
        return {asked: every[asked]} if asked in every else every

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:  # noqa: ANN401
        parser = super().init_parser(**kwargs)
        action = parser._option_string_actions["--config"]
        action.help = help_of_config(self.recipe.default)
        return parser

    def _prepare_subcommand_parser(
        self,
        klass: type,
        subcommand: str,
        **kwargs: Any,  # noqa: ANN401
    ) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        if subcommand == "predict":
            self.own = OwnOptions(parser, self.recipe.module)
        return parser

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        add_run_arguments(parser)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.link_arguments("seed_everything", "data.init_args.seed")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        subcommand, *flags = args or [""]
        if subcommand.startswith(("-c", "--config")):
            raise ValueError("--config goes behind the subcommand: fit --config ...")
        self.config_name, self.run_folder, self.saved = "", None, {}
        if subcommand in self.subcommands():
            ordered = in_order(flags, self.recipe)
            flags, self.config_name, self.run_folder, self.saved = ordered
            args = [subcommand, *classes_first(flags)]
            self.lapsed = lapsed(flags, self.recipe)
        chosen = self._subcommand_parsers.get(subcommand)
        defaults = [action.default for action in chosen._actions] if chosen else []
        if chosen:
            chosen.settle = self._settle
        if chosen and subcommand != "predict":
            refuse_elsewhere(flags, self.recipe.module, chosen)
        try:
            with own_defaults(defaults) as dropped:
                self.config = parser.parse_args(args)
        except Exception as error:
            raise ValueError(one_line(error, chosen)) from error
        for line in dropped:
            rank_zero_info(f"note: {line}")

    def _add_instantiators(self) -> None:
        super()._add_instantiators()
        self.parser.add_instantiator(blaming(self.config[self.subcommand]), object)

    def _parse_ckpt_path(self) -> None:
        """Nothing: Lightning would let the checkpoint override the command line."""

    def before_instantiate_classes(self) -> None:
        config = self.config[self.subcommand]
        check_mode()
        refuse_meaningless(config.trainer, self.subcommand)
        refuse_absent(config.trainer)
        check_checkpoint(config.ckpt_path, self.subcommand, self.command)
        if self.subcommand == "fit" and not config.ckpt_path:
            warn_of_shared_store()
            parent = Path(config.trainer.default_root_dir or "runs") / self.recipe.name
            folder, checkpoint = unfinished(parent, self.recipe.typed(self.command))
            if folder is not None:
                self.run_folder, config.name = folder, None
                config.ckpt_path = checkpoint and str(checkpoint)
        fill_data(config.get("data"), self.recipe.module)
        self.data = self._fill_widths(config)
        resolved = self._dump(config)
        self.changed = self._compare(dotted(resolved))
        self.save_config_kwargs["resolved"] = yaml.safe_dump(resolved, sort_keys=False)
        # The further processes of a run write nothing, and neither does a dry run.
        first = rank_zero_only.rank == 0 and LightningEnvironment().node_rank() == 0
        self.writes = first and not config.trainer.fast_dev_run
        self.run = Run.open(
            config,
            self.run_folder,
            self.recipe,
            self.config_name,
            self.command,
            dotted(resolved),
            self.writes,
        )
        if self.writes and self.subcommand == "fit":
            self.held.enter_context(locked(*lock_of(self.run.folder)))
        if self.writes and self.run.is_new:
            self.run.write_facts()
        self.save_config_kwargs["run"] = self.run
        config.trainer.logger = self.run.loggers(config, self.subcommand)

    def _fill_widths(self, config: Namespace, fetches: bool = True) -> LightningDataModule | None:
        """Takes from the data what the user does not say of the networks' sizes.

        Args:
            config: of the subcommand, changed in place
            fetches: whether data may be downloaded

        Returns:
            the data, set up, if they were needed for it
        """
        if not any(missing(config.model, "model", self.lapsed)):
            return None
        with isolate_rng(), in_turn(shared_folder()):
            data = early_data(self, config.get("data"), fetches)
        fill(config, self.recipe.module, data, self.lapsed)
        self.lapsed = set()  # what is filled in now stands: the data are not read again
        return data

    def _settle(self, config: Namespace) -> None:
        """Fills in the sizes in a config that is shown, where the data are on this machine."""
        fill_data(config.get("data"), self.recipe.module)
        try:
            self._fill_widths(config, fetches=False)
        except (ValueError, OSError) as error:
            rank_zero_info(f"note: the sizes that networks take from the data are null: {error}")

    def _compare(self, settings: dict[str, Any]) -> list[str]:
        """What a run that goes on changes of its settings; refuses what would make it another."""
        if not self.saved:
            return []
        saved = dotted(self.saved)
        if self.subcommand in ("validate", "test"):
            check_evaluated(saved, settings)
        if self.subcommand != "fit":
            return []
        if self.run_folder is not None:
            with suppress(ValueError):  # a damaged one is told, and kept, when the run goes on
                saved = (read_facts(self.run_folder).get("settings") or {}) | saved
        return check_resumed(saved, settings)

    def _dump(self, config: Namespace) -> dict[str, Any]:
        """The config as it can be run again, in a folder of its own."""
        shown = config.clone()
        shown.name = shown.ckpt_path = None
        if self.subcommand == "predict":
            self.own.take_out_of(shown)
        dumped = self._parser(self.subcommand).dump(
            shown, skip_unset=False, skip_validation=True, skip_link_targets=False
        )
        resolved = yaml.safe_load(dumped)
        # What the checkpoint gets as hyperparameters; Lightning would dump everything again.
        self.config_dump = copy.deepcopy(resolved)
        if resolved.get("data"):
            resolved["data"].get("init_args", {}).pop("seed", None)  # follows seed_everything
        return resolved

    def instantiate_classes(self) -> None:
        with self._no_empty_run():
            super().instantiate_classes()
            self.datamodule = self.datamodule if self.data is None else self.data
            if self.trainer.precision == "64-true":
                # Lightning would do so after it has loaded a checkpoint's weights, rounded.
                self.model.double()
            if self.subcommand == "predict":
                drawn = self.own.prepare(self.model, self.config_init[self.subcommand])
                self.datamodule = drawn or self.datamodule

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:  # noqa: ANN401 - as in LightningCLI
        config, given = self.config_init[self.subcommand], self.config[self.subcommand]
        callbacks = latest(listed(config.trainer.callbacks), listed(given.trainer.callbacks))
        if self.subcommand == "predict":
            callbacks = self.own.writer(callbacks, config)
        complete(config.trainer, callbacks, self.further, self.model, self.run.folder)
        # torch's own cannot do with networks that take turns.
        ddp = nullcontext() if self.model.automatic_optimization else manual_ddp()
        with ddp:
            return super().instantiate_trainer(default_root_dir=str(self.run.folder), **kwargs)

    def _run_subcommand(self, subcommand: str) -> None:
        start = time.monotonic()
        if self.writes:
            print(f"run folder: {self.run.folder}", flush=True)
            if self.changed:
                print(f"resumed with {', '.join(self.changed)}", flush=True)
        # Known from the start: a sharded run asks for it before its checkpoint is read.
        self.trainer._checkpoint_connector._ckpt_path = self.config_init[subcommand].ckpt_path
        with self._no_empty_run():
            with self.ending.together(self.trainer):
                super()._run_subcommand(subcommand)
        if self.writes:
            lines = self._note_end() if subcommand == "fit" else []
            if subcommand in ("validate", "test"):
                lines = [unknown(self.trainer, "test" if subcommand == "test" else "val")]
            seconds = time.monotonic() - start
            print(f"run folder: {self.run.folder} ({subcommand} took {seconds:.0f} s)", flush=True)
            if any(lines):
                print("; ".join(lines), flush=True)

    def _note_end(self) -> list[str]:
        """Notes that the run has finished; returns what there is to say of it."""
        found = [c for c in self.trainer.callbacks if isinstance(c, Convergence) and c.converged]
        facts = {"converged": all(all(callback.converged) for callback in found)} if found else {}
        best = best_of(self.trainer)
        facts |= {"best": best.facts} if best else {}
        self.run.note(self.trainer.loggers, finished=True, **facts)
        last = unknown(self.trainer, "val")
        last = last or outcome(self.model, self.trainer.callback_metrics)
        warnings = [callback.warning for callback in found]
        lines = *why_stopped(self.trainer), last, str(best or ""), *warnings
        return [line for line in lines if line]

    @contextmanager
    def _no_empty_run(self) -> Iterator[None]:
        """Leaves no folder behind when a run fails before its first row of metrics."""
        try:
            yield
        except BaseException:
            if wandb.run is not None:
                wandb.finish(exit_code=1)
            if self.writes:
                self.run.discard_if_empty()
                checkpoint = self.run.folder / "checkpoints" / "last.ckpt"
                if checkpoint.exists() and self.subcommand == "fit":
                    print(f"resume with: fit --ckpt_path={checkpoint}", file=sys.stderr)
            raise


def main(
    module: type[LightningModule],
    args: list[str] | None = None,
    callbacks: Sequence[Callback] = (),
) -> None:
    """Runs a recipe's command line; a mistake of the user's ends it with one line.

    Set the environment variable RECIPES_DEBUG to see the traceback instead.

    Args:
        module: the recipe's LightningModule
        args: command-line arguments, those of the process by default
        callbacks: further ones, such as what prunes a search's trial

    Raises:
        SystemExit: with status 1 after an error, 143 after SIGTERM, 130 after Ctrl-C
    """
    silence_noise()
    args = sys.argv[1:] if args is None else args
    ending, status = Ending(args), 1
    try:
        with ending.signals():
            RecipeCLI(module, args, callbacks, ending)
        status = 0
    except BaseException as error:
        asked = isinstance(error, SystemExit) and Note.of(error).status == 1  # --help and the like
        if asked or (isinstance(error, Exception) and os.environ.get("RECIPES_DEBUG")):
            raise
        ending.exit(error)
    finally:
        if wandb.run is not None:
            wandb.finish(exit_code=status)
        ending.clean()

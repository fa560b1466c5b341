r"""A search for a recipe's best settings, by Optuna: grid, random, TPE or Gaussian process.

Akiba et al., "Optuna: A Next-generation Hyperparameter Optimization Framework" (2019),
https://arxiv.org/abs/1907.10902. Needs the extra `search`.

Run:     python -m recipes.tune --recipe distill [--config digits] [--trials 20] [--jobs 2]
         [--trainer.max_epochs=60 and whatever else each trial's fit takes]
Space:   recipes/<recipe>/sweep.yaml, or yours by --space: the format of W&B Sweeps, for which
         `wandb sweep recipes/distill/sweep.yaml` takes the same file
Trials:  each is a run of its own, runs/<recipe>/<study>-<number>, in the group <study>
Leaves:  runs/<recipe>/<study>/: study.db, best.yaml, history.png, importances.png, slice.png
Resume:  the same command again: it runs what is left of --trials. A trial that was running goes on
         from its last checkpoint; one that had ended is never lost, nor run twice
Seeds:   a trial's draws depend on --seed, its number and the trials that have ended: with --jobs=1
         the same command comes to the same trials, also over a kill. Random and grid searches do
         so with any --jobs; for tpe and gp it depends there on which trial ends first
Failed:  a trial whose loss is not finite, or that lacks memory, is recorded with its reason, and
         the search goes on; if the first trial fails otherwise, the search ends with its error

Several machines run the same command with one --storage, such as postgresql://..., each taking
trials from the same study. SQLite on a network file system loses data; journal:<file> does not.
As a SLURM array, whose jobs begin no trial after 20 hours:

    #SBATCH --array=0-7 --ntasks=1 --gpus=1 --time=24:00:00
    srun python -m recipes.tune --recipe distill --config mnist --trials 100 --timeout 72000 \
        --storage journal:$HOME/mnist.journal

On a Ray cluster, `python -m recipes.tune.on_ray` lets Ray Tune draw from the same spaces.
"""

"""Runs commands of recipes one after the other in this process.

torchrun --nproc-per-node=2 fits.py '[["classify", "fit", "--config=ddp"]]'
"""

import json
import sys

import torch

from recipes.cli import main

if __name__ == "__main__":
    torch.set_num_threads(1)
    for name, *args in json.loads(sys.argv[1]):
        module = __import__(f"recipes.{name}", fromlist=["*"])
        try:
            main(getattr(module, module.__all__[0]), [*args, "--trainer.enable_progress_bar=false"])
        except SystemExit as error:
            print(name, args, error.code, file=sys.stderr)

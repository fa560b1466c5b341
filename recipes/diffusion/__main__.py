"""The command line: python -m recipes.diffusion."""

from recipes.diffusion import Diffusion
from recipes.running import main

if __name__ == "__main__":
    main(Diffusion)

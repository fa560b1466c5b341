"""The command line: python -m recipes.gan."""

from recipes.gan import GAN
from recipes.running import main

if __name__ == "__main__":
    main(GAN)

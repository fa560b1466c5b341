"""The command line: python -m recipes.gan."""

from recipes.cli import main
from recipes.gan import GAN

if __name__ == "__main__":
    main(GAN)

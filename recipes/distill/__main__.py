"""The command line: python -m recipes.distill."""

from recipes.cli import main
from recipes.distill import Distill

if __name__ == "__main__":
    main(Distill)

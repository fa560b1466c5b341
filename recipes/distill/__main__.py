"""The command line: python -m recipes.distill."""

from recipes.distill import Distill
from recipes.running import main

if __name__ == "__main__":
    main(Distill)

"""The command line: python -m recipes.classify."""

from recipes.classify import Classify
from recipes.running import main

if __name__ == "__main__":
    main(Classify)

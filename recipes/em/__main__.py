"""The command line: python -m recipes.em."""

from recipes.em import EM
from recipes.running import main

if __name__ == "__main__":
    main(EM)

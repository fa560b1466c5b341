"""The command line: python -m recipes.regress."""

from recipes.regress import Regress
from recipes.running import main

if __name__ == "__main__":
    main(Regress)

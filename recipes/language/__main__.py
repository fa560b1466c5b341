"""The command line: python -m recipes.language."""

from recipes.language import Language
from recipes.running import main

if __name__ == "__main__":
    main(Language)

"""The command line: python -m recipes.policy_gradient."""

from recipes.policy_gradient import PolicyGradient
from recipes.running import main

if __name__ == "__main__":
    main(PolicyGradient)

"""The command line: python -m recipes.vae."""

from recipes.running import main
from recipes.vae import VAE

if __name__ == "__main__":
    main(VAE)

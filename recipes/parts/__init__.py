"""What a recipe's module is made of."""

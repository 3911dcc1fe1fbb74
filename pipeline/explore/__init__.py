"""A look into the features and what they are made of."""

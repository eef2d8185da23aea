"""Real data, a module for each: loaders by name, and where the files come from."""

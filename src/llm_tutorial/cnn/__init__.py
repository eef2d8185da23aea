"""Teaching code of chapter ``cnn``: import from its modules."""

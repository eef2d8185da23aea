"""Teaching code of chapter ``transformer``: import from its modules."""

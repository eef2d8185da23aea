"""Teaching code of chapter ``rl``: import from its modules."""

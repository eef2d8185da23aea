"""Teaching library of the Advanced LLM Tutorial."""

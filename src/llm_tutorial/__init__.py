"""Teaching library of the Advanced LLM Tutorial."""

import io
import sys

# Through a pipe or into a file, Windows encodes what is printed as its language does (GBK for Chinese),
# which has no ⟨ and no emoji: they are written as \u27e8 then, as on stderr, and the script goes on.
if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
    sys.stdout.reconfigure(errors="backslashreplace")

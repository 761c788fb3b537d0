"""A local S3 in a process of its own, which ends when its standard input closes.

python -m tests.moto_server      prints its port, on 127.0.0.1
"""

import logging
import sys

from moto.server import ThreadedMotoServer


def main() -> None:
    """Serve until the pipe to standard input closes, so also when the tests are killed."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    print(server.get_host_and_port()[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()

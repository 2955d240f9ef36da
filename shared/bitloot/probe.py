"""Asks the process in the same container whether it is ready: what an image's HEALTHCHECK runs.

Standard library only: it runs every few seconds, and also where nothing else of ours is installed.
"""

import http.client
import os
import sys

_SECONDS = 4.0


def main(path: str = "/readyz") -> int:
    """Return 0 when the process answers 200, else 1 with what it said, on stderr."""
    port = int(os.environ.get("PROBE_PORT") or os.environ.get("HTTP_PORT") or "8080")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read(2_000).decode(errors="replace")
    except OSError as error:
        sys.stderr.write(f"{path} on port {port}: {error}\n")
        return 1
    finally:
        connection.close()
    if answer.status == http.HTTPStatus.OK:
        return 0
    sys.stderr.write(f"{path} answered {answer.status}: {body}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))

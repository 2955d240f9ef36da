"""The plainest possible server doing the same work: read a body, answer 200 with it. `python -m bench.echo PORT`."""

import sys

import uvloop
from aiohttp import web


async def _echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read())


def main() -> None:
    """Serve on the loopback address until killed."""
    app = web.Application()
    app.router.add_post("/", _echo)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None, loop=uvloop.new_event_loop())


if __name__ == "__main__":
    main()

"""`python -m sandbox`."""

import sys
from functools import partial

import uvloop
from aiohttp import web
from pydantic import ValidationError

from sandbox.app import build
from sandbox.settings import Settings, complaint

try:
    settings = Settings()
except ValidationError as error:
    sys.exit(complaint(error))

# A held answer (a fault) must not hold up the end.
web.run_app(
    build(settings),
    host=settings.http_host,
    port=settings.http_port,
    access_log=None,
    # At once, also into a pipe: the line names the port that HTTP_PORT=0 got.
    print=partial(print, flush=True),
    shutdown_timeout=0.5,
    loop=uvloop.new_event_loop(),
)

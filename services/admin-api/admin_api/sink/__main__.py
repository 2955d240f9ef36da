"""`python -m admin_api.sink`: the sink."""

from admin_api.settings import SinkSettings
from admin_api.sink.app import serve
from bitloot import process

if __name__ == "__main__":
    process.run("sink", SinkSettings, serve)

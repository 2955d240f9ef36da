"""`python -m admin_api.sink`: the sink."""

from admin_api.settings import SinkSettings
from admin_api.sink.app import serve
from bitloot import process

_YOUNG_OBJECTS = 200_000
"""Two batches of records and their rows are alive at once, and none in a cycle: each look at them is for nothing."""

if __name__ == "__main__":
    process.run("sink", SinkSettings, serve, young_objects=_YOUNG_OBJECTS)

"""What every test can use: the fixtures of the embedded stack, and properties that are tried with the same cases."""

import os

from hypothesis import settings

pytest_plugins = ["tests.stack"]

# A test that passed here passes there, however slow the machine: cases follow from the test, not from chance, and none is
# timed. HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile("same", derandomize=True, database=None, deadline=None)
settings.register_profile("explore", max_examples=1000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

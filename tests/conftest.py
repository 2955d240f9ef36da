"""What every test can use: the fixtures of the embedded stack."""

pytest_plugins = ["tests.stack"]

"""What can go wrong while the stack is prepared or started.

EmbeddedError
├── MissingTool     a program that has to be on the machine is not there, or too old
├── FetchFailed     the jars of Kafka could not be fetched
├── ServerFailed    a process ended, or was not ready in time
│   └── PortTaken   it ended because another program has its port
├── StackConflict   another stack is up here, or none where one is needed
└── DemoFailed      the demo's order did not get where it should
"""


class EmbeddedError(Exception):
    """Base: the message is meant for the person at the terminal and printed without a traceback."""


class MissingTool(EmbeddedError):  # noqa: N818 - named as a fact, like all our errors
    """A program that has to be on the machine is missing or too old; the message says how to get it."""


class FetchFailed(EmbeddedError):  # noqa: N818 - named as a fact, like all our errors
    """Maven could not fetch the jars of Kafka; the message carries Maven's own words."""


class ServerFailed(EmbeddedError):  # noqa: N818 - named as a fact, like all our errors
    """A process ended or was not ready in time; the message carries the last lines of its log."""


class PortTaken(ServerFailed):
    """A process ended because another program has its port: with other ports it may start."""


class StackConflict(EmbeddedError):  # noqa: N818 - named as a fact, like all our errors
    """Another stack is up in the same directory, or none is up where one is needed."""


class DemoFailed(EmbeddedError):  # noqa: N818 - named as a fact, like all our errors
    """The demo's order did not get where it should; the message says where it stopped."""

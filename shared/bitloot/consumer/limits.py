"""The numbers of a consumer."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Counts, and times in seconds."""

    window: int = 128
    """Records of one partition taken and not done: at this many the partition is paused, until half are done."""
    session: float = 10.0
    """A member that is silent for so long is dead, and its partitions move on."""
    heartbeat: float = 3.0
    rebalance: float = 30.0
    """How long the group waits for a member that drains; must exceed `drain_on_revoke` and a commit."""
    metadata: float = 10.0
    """How old the known partitions may be: a broker that has just started may not know its topics yet, and the
    member that shares partitions out then shares out none, until its knowledge is renewed (aiokafka: 5 minutes).
    Also how soon a topic that was deleted and made anew, or another cluster, is noticed."""
    commit_interval: float = 1.0
    drain_on_revoke: float = 10.0
    drain_on_stop: float = 20.0
    """Within the grace period of an orchestrator, commonly 30 s."""
    longest_pause: float = 5.0
    """Between two tries of the same record."""
    defects_per_minute: int = 20
    """Unexpected exceptions that may become dead letters."""
    fetch_stall: float = 30.0
    """Records waiting at the broker and none coming for so long: connect anew."""
    stall: float = 300.0
    """Nothing moving in any one partition for so long though there is work: the process counts as dead."""
    refused: float = 5.0
    """How long to wait before looking again at a cluster that lost what we worked on."""

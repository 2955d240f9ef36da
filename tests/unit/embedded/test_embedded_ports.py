import socket
import sys

import pytest

from embedded.ports import HeldPorts, free_port, free_ports, is_free


def test_ports_are_distinct_and_can_be_bound():
    ports = free_ports(50)
    assert len(set(ports)) == 50
    for port in ports:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", port))


def test_a_port_in_use_is_not_free():
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", free_port()))
        taken = busy.getsockname()[1]
        assert not is_free(taken)
    assert is_free(taken)


def test_ports_lie_where_no_outgoing_connection_can_take_them():
    assert max(free_ports(200)) < 32_768


@pytest.mark.skipif(sys.platform != "linux", reason="other systems cannot hold a port for somebody else")
def test_a_held_port_is_free_for_its_server_only():
    held = HeldPorts()
    (port,) = held.take(1)
    assert not is_free(port)
    for _ in range(2):  # also after a restart
        with socket.create_server(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
            assert not is_free(port)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    held.close()
    assert is_free(port)

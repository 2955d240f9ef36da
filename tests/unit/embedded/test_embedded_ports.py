import socket

from embedded.ports import free_port, free_ports, is_free


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

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitloot import trace
from bitloot.trace import Trace

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_reads_the_example_of_the_standard():
    assert trace.parse(PARENT) == Trace("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", 1)
    assert trace.parse(PARENT.encode()) == trace.parse(f" {PARENT} ")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "garbage",
        PARENT.upper(),
        PARENT + "-more",
        "ff" + PARENT[2:],
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01",
        b"\xff\xfe",
    ],
)
def test_anything_else_is_no_trace(header: str | bytes | None):
    assert trace.parse(header) is None


def test_a_later_version_may_say_more():
    assert trace.parse("01" + PARENT[2:] + "-more") == trace.parse(PARENT)


@given(st.builds(trace.new))
def test_written_and_read_back(one: Trace):
    assert trace.parse(str(one)) == one


def test_a_child_stays_in_its_trace():
    parent = trace.new()
    child = parent.child()

    assert child.trace_id == parent.trace_id
    assert child.span_id != parent.span_id


def test_headers_carry_the_current_trace():
    with trace.use(trace.parse(PARENT)) as span:
        carried = trace.headers()
        assert carried == [("traceparent", str(span).encode())]

    assert trace.from_headers(carried) == span
    assert trace.from_headers(dict(carried)) == span
    assert span.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert trace.current.get() is None


def test_headers_start_a_trace_where_there_is_none():
    assert trace.from_headers(trace.headers()) is not None


def test_records_without_a_trace():
    assert trace.from_headers(None) is None
    assert trace.from_headers([]) is None
    assert trace.from_headers([("traceparent", b"broken"), ("other", b"x")]) is None

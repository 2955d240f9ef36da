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


ORDER = "0af76519-16cd-43dd-8448-eb211c80319d"


@pytest.fixture
def exported():
    """What is exported during a test."""
    spans: list[trace.Span] = []
    trace.tracing.export = spans.append
    yield spans
    trace.tracing.export = None


def test_work_joins_its_orders_trace_and_keeps_where_it_came_from(exported: list[trace.Span]):
    with trace.use(trace.parse(PARENT), "POST /orders", "server"):
        trace.join(ORDER)
        carried = trace.headers()
        with trace.step("effect buy_key"):
            pass
    after = trace.from_headers(carried)

    step, work = exported
    assert after is not None
    assert after.trace_id == work.trace.trace_id == step.trace.trace_id == ORDER.replace("-", "")
    assert step.parent == work.trace == after
    assert (work.parent, work.links) == (None, [trace.parse(PARENT)])
    assert work.attributes == {"bitloot.order_id": ORDER}
    assert work.started <= step.started <= step.ended <= work.ended


def test_work_that_came_from_its_orders_trace_is_a_child(exported: list[trace.Span]):
    parent = Trace(ORDER.replace("-", ""), "b7ad6b7169203331")
    with trace.use(parent, "orders.events.v1 process", "consumer"):
        trace.join(ORDER)
    (work,) = exported
    assert (work.parent, work.links, work.trace.trace_id) == (parent, [], parent.trace_id)


@pytest.mark.parametrize("no_order", ["", "nonsense", "00000000-0000-0000-0000-000000000000"])
def test_what_is_no_order_id_changes_nothing(no_order: str):
    with trace.use(None) as here:
        trace.join(no_order)
        assert trace.current.get() == here


def test_a_failure_is_told_by_its_kind_only(exported: list[trace.Span]):
    with pytest.raises(ValueError), trace.use(None, "work"):
        raise ValueError("AAAAA-BBBBB-CCCCC")
    (work,) = exported
    assert work.error == "ValueError"
    assert "AAAAA" not in repr(work)


def test_nothing_is_kept_when_nothing_is_exported_or_the_caller_does_not_want_it(exported: list[trace.Span]):
    with trace.use(trace.parse(PARENT.removesuffix("01") + "00"), "unsampled"), trace.use(None, ""):
        trace.note(a=1)
    assert exported == []
    trace.tracing.export = None
    with trace.use(None, "off") as here:
        trace.join(ORDER)
        with trace.step("part"):
            assert trace.current.get() == Trace(ORDER.replace("-", ""), here.span_id)

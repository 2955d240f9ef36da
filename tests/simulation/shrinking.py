"""Makes a failing schedule small: leaves out faults (delta debugging), then parts of orders."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.simulation.schedule import Again, Click, Fault, OrderPlan, Schedule

Fails = Callable[[Schedule], bool]


def shrink(schedule: Schedule, fails: Fails) -> Schedule:
    """Return a schedule that fails as well and from which nothing more can be left out.

    Each step is a simulation, so faults go in halves first (Zeller's ddmin) and one by one at the end. It is a
    function of the schedule alone.
    """
    while True:
        smaller = replace(schedule, faults=_fewer(schedule, fails))
        smaller = next((less for less in _simpler(smaller) if fails(less)), smaller)
        if smaller == schedule:
            return schedule
        schedule = smaller


def _fewer(schedule: Schedule, fails: Fails) -> tuple[Fault, ...]:
    faults, parts = schedule.faults, 2
    while len(faults) >= 1:
        size = max(1, -(-len(faults) // parts))
        for start in range(0, len(faults), size):
            rest = faults[:start] + faults[start + size :]
            if fails(replace(schedule, faults=rest)):
                faults, parts = rest, max(parts - 1, 2)
                break
        else:
            if size == 1:
                return faults
            parts = min(2 * parts, len(faults))
    return faults


def _simpler(schedule: Schedule) -> Iterator[Schedule]:
    for n, order in enumerate(schedule.orders):
        before, after = schedule.orders[:n], schedule.orders[n + 1 :]
        if len(schedule.orders) > 1:
            yield replace(schedule, orders=before + after, faults=_without_order(schedule.faults, n))
        for less in _less(order):
            yield replace(schedule, orders=(*before, less, *after))


def _without_order(faults: tuple[Fault, ...], gone: int) -> tuple[Fault, ...]:
    kept = (f for f in faults if not (isinstance(f, Again | Click) and f.order == gone))
    return tuple(replace(f, order=f.order - 1) if isinstance(f, Again | Click) and f.order > gone else f for f in kept)


def _less(order: OrderPlan) -> Iterator[OrderPlan]:
    if len(order.quantities) > 1:
        yield replace(order, quantities=order.quantities[1:])
    if max(order.quantities) > 1:
        yield replace(order, quantities=tuple(1 for _ in order.quantities))
    if len(order.payments) > 1:
        for n in range(len(order.payments)):
            yield replace(order, payments=order.payments[:n] + order.payments[n + 1 :])
    if order.supply != "whole":
        yield replace(order, supply="whole")

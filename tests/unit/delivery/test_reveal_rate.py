from delivery.order_page.rate import MAX_ORDERS, RevealRate


class Seconds:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_so_many_in_a_minute_and_not_one_more():
    clock = Seconds()
    rate = RevealRate(3, clock=clock)
    taken = []
    for _ in range(4):
        taken.append(rate.take("a"))
        clock.now += 10

    assert taken == [0, 0, 0, 30]
    assert rate.take("a") == 20  # being told to wait costs nothing
    clock.now = 60
    assert rate.take("a") == 0
    assert rate.take("a") == 10


def test_orders_do_not_share():
    rate = RevealRate(1, clock=Seconds())

    assert (rate.take("a"), rate.take("b"), rate.take("a")) == (0, 0, 60)


def test_memory_is_bounded_and_those_who_were_here_last_stay():
    rate = RevealRate(1, clock=Seconds())
    rate.take("busy")
    for number in range(MAX_ORDERS - 1):
        rate.take(f"order {number}")
    assert rate.take("busy") == 60
    rate.take("one more")

    assert rate.take("busy") == 60
    assert rate.take("order 0") == 0

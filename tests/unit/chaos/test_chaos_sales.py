"""What the shop will sell is repeatable, and what must be refused is refused by a rule that the sandbox knows."""

from chaos.sales import Fate, sales, sold_out
from sandbox.control import _RULES


def test_the_same_seed_gives_the_same_sales_and_another_gives_others():
    assert sales(1, 50) == sales(1, 50)
    assert sales(1, 50) != sales(2, 50)
    assert sales(1, 50)[:10] == sales(1, 10)


def test_every_fate_has_its_orders():
    assert {sale.fate for sale in sales(1, 200)} == set(Fate)


def test_only_the_last_item_of_what_is_sold_out_is_refused():
    wanted = sales(1, 200)
    rules = _RULES.validate_python([dict(rule) for rule in sold_out(wanted)])
    refused = {sale.order: sale for sale in wanted if sale.fate is Fate.SOLD_OUT}
    assert [rule.order_id for rule in rules] == [f"{order}-{len(sale.lines)}" for order, sale in refused.items()]
    assert all(rule.count is None and rule.probability == 1.0 for rule in rules), "for as long as the run lasts"


def test_in_the_buyer_api_the_whole_order_is_refused():
    wanted = sales(1, 200)
    rules = _RULES.validate_python([dict(rule) for rule in sold_out(wanted, "esa")])
    refused = [sale.order for sale in wanted if sale.fate is Fate.SOLD_OUT]
    assert [(rule.provider, rule.order_id) for rule in rules] == [("kinguin-esa", f"{order}-1") for order in refused]

"""The `esa` dialect: Kinguin's public buyer API (contract "Kinguin", section 1).

`values` reads single values, `orders` and `products` what the API tells, `api` makes the calls, `prices` and `delivery`
hold the rules, `market` puts them together, `balance` watches the money.
"""

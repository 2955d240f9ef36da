"""The payments worker: asks NOWPayments what the orders agent wants to know, and for what buyers pay with."""

async def test_a_refused_webhook_is_sent_again_until_it_is_taken(sandbox, receiver, order_id):
    receiver.statuses = [503, 500]
    await sandbox.reserve(order_id)
    received = await receiver.wait_for(3)
    assert len({each.body for each in received}) == 1


async def test_attempts_are_bounded_and_recorded(sandbox, receiver, order_id):
    receiver.statuses = [503] * 3
    await sandbox.reserve(order_id)
    await receiver.wait_for(3)
    # The next webhook is another one, not a fourth attempt.
    await sandbox.reserve(f"{order_id}-2")
    received = await receiver.wait_for(4)
    assert received[3].json()["orderId"] == f"{order_id}-2"


async def test_every_attempt_stands_in_the_ledger(sandbox, receiver, order_id):
    receiver.statuses = [503]
    answers = await sandbox.pay(order_id, statuses=["finished"], priceAmount="5", priceCurrency="EUR")
    assert [(each["status"], each["attempts"]) for each in answers] == [(200, 2)]
    attempts = (await sandbox.ledger(order_id))["webhooks"]
    assert [(each["attempt"], each["status"]) for each in attempts] == [(1, 503), (2, 200)]
    assert attempts[0]["request"]["order_id"] == order_id


async def test_nobody_listening_is_an_attempt_without_status(sandbox, order_id):
    await sandbox.set(ingressUrl="http://127.0.0.1:9")
    wish = {"statuses": ["finished"], "priceAmount": 5, "priceCurrency": "eur"}
    (answer,) = await sandbox.pay(order_id, **wish)
    assert (answer["status"], answer["attempts"]) == (None, 3)
    assert "9" in answer["error"]


async def test_duplicates_are_copies(sandbox, receiver, order_id):
    await sandbox.set(webhookDuplicates=2)
    await sandbox.reserve(order_id)
    received = await receiver.wait_for(3)
    assert len({each.body for each in received}) == 1


async def test_shuffled_webhooks_all_arrive(sandbox, receiver, order_id):
    await sandbox.set(webhookShuffle=0.05, seed=3)
    await sandbox.buy(order_id)
    assert sorted(await receiver.events(3)) == ["delivered", "give", "reserve"]


async def test_a_shuffled_payment_is_told_in_another_order_every_time_the_same(sandbox, order_id):
    async def told():
        # Setting the seed begins the dice anew.
        await sandbox.set(webhookShuffle=1, seed=3)
        answers = await sandbox.pay(order_id, priceAmount=5, priceCurrency="eur")
        return [each["paymentStatus"] for each in answers]

    first = await told()
    assert first == await told()
    assert first != ["waiting", "confirming", "confirmed", "sending", "finished"]
    assert sorted(first) == ["confirmed", "confirming", "finished", "sending", "waiting"]


async def test_dropped_webhooks_never_arrive_and_are_recorded(sandbox, receiver, order_id):
    await sandbox.fail({"provider": "kinguin", "call": "reserve", "kind": "drop_webhook"})
    await sandbox.buy(order_id)
    assert sorted(await receiver.events(2)) == ["delivered", "give"]
    dropped = [each for each in (await sandbox.ledger(order_id))["webhooks"] if each["error"] == "dropped"]
    assert [(each["event"], each["attempt"]) for each in dropped] == [("reserve", 0)]


async def test_all_webhooks_can_be_dropped_by_a_dial(sandbox, receiver, order_id):
    await sandbox.set(webhookDrop=1)
    (answer,) = await sandbox.pay(order_id, statuses=["finished"], priceAmount=5, priceCurrency="eur")
    assert (answer["error"], answer["attempts"]) == ("dropped", 0)
    assert receiver.received == []

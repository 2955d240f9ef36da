"""Asks together what comes together: the busier a process is, the fewer statements each question takes."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from bitloot.errors import Transient

Q = TypeVar("Q")
A = TypeVar("A")


@dataclass(slots=True, eq=False)
class _Waiting(Generic[Q, A]):
    key: str
    question: Q
    answer: "asyncio.Future[A | None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Together(Generic[Q, A]):
    """Asks once at a time: what comes in one turn of the loop at once, and what comes meanwhile in the next asking.

    `ask` gets questions by their keys, at most `most`, and returns answers by the same keys; one that is missing is
    None. No key is twice in what it gets. When it raises anything but `Transient`, each is asked by itself, so that a
    question that cannot be asked costs no other its answer.
    """

    def __init__(self, ask: Callable[[Mapping[str, Q]], Awaitable[Mapping[str, A]]], *, most: int = 64) -> None:
        self._ask = ask
        self._most = most
        self._waiting: list[_Waiting[Q, A]] = []
        self._asking: asyncio.Task[None] | None = None

    async def __call__(self, key: str, question: Q) -> A | None:
        """Return the answer. Raises what `ask` raised."""
        waiting: _Waiting[Q, A] = _Waiting(key, question)
        self._waiting.append(waiting)
        if self._asking is None:
            # What it asks is no part of the trace of whoever happened to come first.
            self._asking = asyncio.create_task(self._ask_on(), context=contextvars.Context())
        return await waiting.answer

    async def _ask_on(self) -> None:
        batch: Mapping[str, _Waiting[Q, A]] = {}
        try:
            while batch := self._next():
                await self._ask_all(batch)
        finally:
            self._asking = None
            for each in (*batch.values(), *self._waiting):  # of a process that ends
                each.answer.cancel()
            self._waiting.clear()

    def _next(self) -> Mapping[str, _Waiting[Q, A]]:
        """Take what is asked next; whoever has given up is left out."""
        batch: dict[str, _Waiting[Q, A]] = {}
        later = []
        for each in self._waiting:
            if each.key in batch or len(batch) == self._most:
                later.append(each)
            elif not each.answer.done():
                batch[each.key] = each
        self._waiting = later
        return batch

    async def _ask_all(self, batch: Mapping[str, _Waiting[Q, A]]) -> None:
        try:
            answers = await self._ask({key: each.question for key, each in batch.items()})
        except Exception as error:  # noqa: BLE001 - whoever asked gets it
            if len(batch) == 1 or isinstance(error, Transient):
                _fail(batch, error)
                return
            for key, each in batch.items():
                await self._ask_all({key: each})
            return
        for key, each in batch.items():
            if not each.answer.done():
                each.answer.set_result(answers.get(key))


def _fail(batch: Mapping[str, _Waiting[Q, A]], error: Exception) -> None:
    for each in batch.values():
        if not each.answer.done():
            each.answer.set_exception(error)

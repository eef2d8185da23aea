"""Dynamic batching: what arrives while the model works becomes its next batch."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class BusyError(RuntimeError):
    """The queue is full, or closed; nothing was taken in."""


class Batcher(Generic[Item, Result]):
    """A queue in front of a function that takes a batch; one thread runs it.

    Args:
        run: Takes a list of items, gives a result for each, in their order.
        max_batch: Most items of a batch.
        max_wait: Seconds that an item may wait for others while the model is idle.
        max_queue: Most items that wait; what comes on top is refused at once.

    Example:
        >>> async def doubled():
        ...     batcher = Batcher(lambda numbers: [2 * number for number in numbers])
        ...     results = await asyncio.gather(batcher.submit([1, 2]), batcher.submit([3]))
        ...     await batcher.close()
        ...     return results
        >>> asyncio.run(doubled())
        [[2, 4], [6]]
    """

    def __init__(
        self,
        run: Callable[[list[Item]], Sequence[Result]],
        max_batch: int = 16,
        max_wait: float = 0.0,
        max_queue: int = 64,
    ) -> None:
        self.run, self.max_batch, self.max_wait, self.max_queue = run, max_batch, max_wait, max_queue
        self.queue: asyncio.Queue[tuple[Item, asyncio.Future[Result]]] = asyncio.Queue()
        self.seconds = 0.0  # of the last batch
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batch")
        self._worker: asyncio.Task[None] | None = None
        self._closed = False

    async def submit(self, items: Sequence[Item]) -> list[Result]:
        """The results of some items, computed in whatever batches they come to be in.

        Args:
            items: At least one; they are taken in together or refused together.

        Raises:
            BusyError: There is no room for all of them.
        """
        if self._closed or self.queue.qsize() + len(items) > self.max_queue:
            raise BusyError(f"{self.queue.qsize()} items wait, {self.max_queue} may")
        self._worker = self._worker or asyncio.create_task(self._work())
        futures = [asyncio.get_running_loop().create_future() for _ in items]
        for pair in zip(items, futures, strict=True):
            self.queue.put_nowait(pair)
        try:
            return list(await asyncio.gather(*futures))
        finally:
            for future in futures:  # whoever gave up no longer counts
                future.cancel()

    async def close(self) -> None:
        """Takes in nothing more, and returns when everything taken in is answered."""
        self._closed = True
        if self._worker:
            await self.queue.join()
            self._worker.cancel()
        self._thread.shutdown()

    async def _gather(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        """Waits for an item; takes what else is there, or comes within ``max_wait``."""
        batch = [await self.queue.get()]
        try:
            async with asyncio.timeout(self.max_wait):
                while len(batch) < self.max_batch:
                    batch.append(self.queue.get_nowait() if self.queue.qsize() else await self.queue.get())
        except TimeoutError:
            pass
        return batch

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = await self._gather()
            live = [pair for pair in batch if not pair[1].done()]
            if live:
                start = time.perf_counter()
                await loop.run_in_executor(self._thread, self._answer, loop, live)
                self.seconds = time.perf_counter() - start
            for _ in batch:
                self.queue.task_done()

    def _answer(self, loop: asyncio.AbstractEventLoop, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        """Runs in the thread; where a batch fails, each of its items runs alone, so that one cannot fail the others."""
        try:
            results = self.run([item for item, _ in batch])
            assert len(results) == len(batch)
        except Exception as error:
            if len(batch) == 1:
                loop.call_soon_threadsafe(_settle, batch[0][1], None, error)
                return
            for pair in batch:
                self._answer(loop, [pair])
            return
        for (_, future), result in zip(batch, results, strict=True):
            loop.call_soon_threadsafe(_settle, future, result, None)


def _settle(future: asyncio.Future, result: object, error: Exception | None) -> None:
    if future.done():  # given up meanwhile
        return
    if error:
        future.set_exception(error)
    else:
        future.set_result(result)

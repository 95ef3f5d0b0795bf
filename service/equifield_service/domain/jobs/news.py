"""Who waits for news of a job hears them: from this gateway at once, from others a moment later."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from ..errors import DomainError
from .job import TRANSITIONS, Job
from .ledger import Ledger

LOOK_S = 1.0
"""So often the ledger is asked about a job that somebody waits for: another gateway may be at it."""


def tag_of(job: Job) -> str:
    """Says in which state a job is: another text, another state."""
    return f"{job.attempts}-{job.step}-{job.status}-{job.updated.timestamp():.6f}"


class _Topic:
    """One job that somebody waits for news of."""

    def __init__(self, job: Job):
        self.job, self.listeners = job, 0
        self.changed = asyncio.Event()
        self.looking: asyncio.Task[None] | None = None

    async def changes(self, seconds: float) -> bool:
        """Waits for news; False if there are none for so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self.changed.wait()
        return False

    def tell(self, job: Job) -> None:
        """Takes news, but for those that are older than what is known."""
        if tag_of(job) != tag_of(self.job) and (job.attempts, job.step) >= (self.job.attempts, self.job.step):
            self.job = job
            self.changed.set()
            self.changed = asyncio.Event()


class News:
    """The newest state of every job that somebody waits for; what changed meanwhile is not told one by one."""

    def __init__(self, ledger: Ledger):
        self._ledger, self._topics, self._over = ledger, dict[str, _Topic](), asyncio.Event()

    def close(self) -> None:
        """Lets nobody wait any longer."""
        self._over.set()
        for topic in self._topics.values():
            topic.changed.set()

    def tell(self, job: Job) -> None:
        """A job has changed."""
        topic = self._topics.get(job.id)
        if topic is not None:
            topic.tell(job)

    async def find(self, id: str, owner: str | None) -> Job:
        """A job, as all hear it who follow it already, or else as the ledger has it.

        Raises:
            UnknownJob: There is none with this id, or it is another's.
            JobExpired: There was one.
        """
        topic = self._topics.get(id)
        if topic is not None and owner in (None, topic.job.order.owner):
            return topic.job
        return await self._ledger.get(id, owner)

    async def follow(self, job: Job, quiet_s: float) -> AsyncGenerator[Job | None, None]:
        """A job as it is, and then whenever it has changed, until it has ended or nobody may wait any longer.

        None after so many seconds without news. All who follow a job are given the same object.
        """
        topic = self._topics.setdefault(job.id, _Topic(job))
        topic.listeners += 1
        topic.tell(job)
        if topic.looking is None:
            topic.looking = asyncio.create_task(self._look(topic))
        try:
            told: Job | None = None
            while not self._over.is_set():
                if topic.job is not told:
                    told = topic.job
                    yield told
                    if not TRANSITIONS[told.status]:
                        return
                elif not await topic.changes(quiet_s):
                    yield None
        finally:
            topic.listeners -= 1
            if not topic.listeners:
                topic.looking.cancel()
                self._topics.pop(job.id, None)

    async def _look(self, topic: _Topic) -> None:
        while TRANSITIONS[topic.job.status]:
            await asyncio.sleep(LOOK_S)
            with suppress(DomainError):  # the ledger is away for a while, or the job is expired: there are no news
                topic.tell(await self._ledger.get(topic.job.id))

    async def after(self, job: Job, seconds: float) -> Job:
        """A job as soon as it is no longer as it was, or as it is after so many seconds."""
        async with aclosing(self.follow(job, seconds)) as news:
            async for newer in news:
                if newer is None:
                    break
                if tag_of(newer) != tag_of(job):
                    return newer
        return job

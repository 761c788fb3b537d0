"""A trial of several ranks: the process that opens it is the first of them, and starts the others
on its machine.

The others do as the first one says: it sends a word when a step begins, and each decision that it
takes by a clock. They hold the same network, write nothing, and end with the first one, however
that ends. If one of them ends by itself, the attempt is over: the first one raises RankLostError,
or ends with its process where it waits for a GPU and cannot.
"""

import atexit
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from trainables.data.batch_part import BatchPart
from trainables.data.worker_pool import end_with_parent
from trainables.environment import Environment
from trainables.storage.store import Store
from trainables.training.process_group import join_group, leave_group
from trainables.training.ranks import RankLostError, Ranks
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec
from trainables.user_method_files import load_method_files

# That the first rank may take to notice that another has died, before its process is ended.
SECONDS_TO_NOTICE = 30.0
SECONDS_TO_END = 10.0  # for a rank that was asked to
ADVANCE, END = "advance", "end"


def open_trial(spec: TrialSpec, environment: Environment) -> Trial:
    """A trial in as many processes as its environment says.

    Raises:
        RankLostError: another rank could not be started.
    """
    return Trial(spec, environment) if environment.ranks == 1 else RankedTrial(spec, environment)


class RankedTrial(Trial):
    """The first rank of a trial; see `Trial`. `close` ends the others; a trial that is done, or
    that raises, has closed itself."""

    def __init__(self, spec: TrialSpec, environment: Environment) -> None:
        self._others = OtherRanks(spec, environment)
        with self._closing_on_error():
            self._others.start()
            self._others.gather("ready")
            join_group(environment, 0, self._others.meeting)
            super().__init__(
                spec, environment, Ranks(BatchPart(0, environment.ranks), self._others)
            )
            self.ranks.check_equal("the position", self.position)
        if self.done:
            self.close()

    def advance(self, pause: Callable[[], bool] = lambda: False) -> None:
        """As of `Trial`, at all ranks.

        Raises:
            RankLostError: another rank has ended, or raised an error that this one has not.
        """
        with self._closing_on_error():
            self._others.send(ADVANCE)
            super().advance(pause)
        if self.done:
            self.close()

    def close(self) -> None:
        """End the other ranks."""
        self._others.close()

    @contextmanager
    def _closing_on_error(self) -> Iterator[None]:
        try:
            yield
        except RankLostError as lost:
            reason = self._others.find_reason() or str(lost)
            self._others.close(kill=True)
            raise RankLostError(reason) from None
        except BaseException:
            self._others.close(kill=True)
            raise


@dataclass(eq=False)
class OtherRanks:
    """The processes of all ranks but the first, as the first one sees them."""

    spec: TrialSpec
    environment: Environment
    meeting: str = ""  # a folder where the ranks find each other
    _processes: list[Any] = field(default_factory=list)
    _links: list[Any] = field(default_factory=list)
    _errors: dict[int, str] = field(default_factory=dict)  # that ranks have sent
    _closed: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Start the processes; they open the trial meanwhile."""
        self.meeting = tempfile.mkdtemp(prefix="ranks-")
        # As of the workers that make batches: a fork of this process would copy threads' locks.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["trainables.data.batch_maker", __name__])
        for rank in range(1, self.environment.ranks):
            own, theirs = context.Pipe()
            process = context.Process(
                target=run_rank,
                args=(self.spec, self.environment, rank, self.meeting, theirs),
                name=f"rank {rank}",
            )
            process.start()
            theirs.close()
            self._processes.append(process)
            self._links.append(own)
        atexit.register(self.close, kill=True)
        threading.Thread(target=self._watch, daemon=True).start()

    def send(self, word: str | bool) -> None:
        """Send all others a word.

        Raises:
            RankLostError: one of them is gone.
        """
        for rank, link in enumerate(self._links, 1):
            try:
                link.send(word)
            except OSError:
                raise RankLostError(f"rank {rank} is gone") from None

    def agree(self, decide: Callable[[], bool]) -> bool:
        """What `decide` says, which all others are told."""
        decision = decide()
        self.send(decision)
        return decision

    def gather(self, value: object) -> list[Any]:
        """The value, and those that the others send."""
        return [value, *(self._receive(rank) for rank in range(1, self.environment.ranks))]

    def _receive(self, rank: int) -> Any:
        link, process = self._links[rank - 1], self._processes[rank - 1]
        wait([link, process.sentinel])
        try:
            kind, content = link.recv() if link.poll() else ("error", "")
        except (OSError, EOFError):
            kind, content = "error", ""
        if kind == "error":
            self._errors[rank] = content
            raise RankLostError(self._describe(rank, content))
        return content

    def find_reason(self) -> str:
        """Why a rank has ended, in one line; that of one that was killed, or raised an error of its
        own, before that of one that only lost the others. Empty where all go on."""
        wait([process.sentinel for process in self._processes], timeout=SECONDS_TO_END)
        found = []
        for rank, (process, link) in enumerate(zip(self._processes, self._links, strict=True), 1):
            if not wait([process.sentinel], timeout=0.5):
                continue
            error = self._errors.get(rank, "")
            with suppress(OSError, EOFError):
                while link.poll():
                    kind, content = link.recv()
                    error = content if kind == "error" else error
            found.append((error.startswith(RankLostError.__name__), self._describe(rank, error)))
        return min(found, default=(True, ""))[1]

    def _describe(self, rank: int, error: str) -> str:
        process = self._processes[rank - 1]
        process.join(1.0)
        code = process.exitcode
        end = f"was killed by signal {-code}" if code and code < 0 else f"ended with code {code}"
        return f"rank {rank} of {self.environment.ranks}: {error or end}"

    def _watch(self) -> None:
        """End this process where another rank has died and this one does not notice, because it
        waits for a GPU that waits for the other."""
        wait([process.sentinel for process in self._processes])
        if self._closed.wait(SECONDS_TO_NOTICE):
            return
        print(f"{self.find_reason()}; this process ends with it", file=sys.stderr, flush=True)
        os._exit(1)

    def close(self, *, kill: bool = False) -> None:
        """End the processes and leave their group; a second call does nothing.

        Args:
            kill: do not ask them first, since they may be waiting for this one.
        """
        if self._closed.is_set():
            return
        self._closed.set()
        atexit.unregister(self.close)
        if not kill:
            with suppress(RankLostError):
                self.send(END)
            until = time.monotonic() + SECONDS_TO_END
            for process in self._processes:
                process.join(max(0.0, until - time.monotonic()))
        for process in self._processes:
            process.kill()
            process.join()
        for link in self._links:
            link.close()
        leave_group(failed=kill)
        shutil.rmtree(self.meeting, ignore_errors=True)


@dataclass(frozen=True)
class FirstRank:
    """The first rank, as another one sees it."""

    link: Connection

    def agree(self, decide: Callable[[], bool]) -> bool:
        """What the first rank sends."""
        return bool(self.link.recv())

    def gather(self, value: object) -> None:
        """Send the first rank a value."""
        self.link.send(("value", value))


def run_rank(
    spec: TrialSpec, environment: Environment, rank: int, meeting: str, link: Connection
) -> None:
    """What the process of another rank does: open the trial, and go on with it as the first rank
    says, to its end."""
    end_with_parent()
    for number in (signal.SIGTERM, signal.SIGINT):  # the first rank says when it is time to leave
        signal.signal(number, signal.SIG_IGN)
    try:
        if environment.device == "cuda":
            torch.cuda.set_device(rank)
        first = FirstRank(link)
        first.gather("ready")
        join_group(environment, rank, meeting)
        load_method_files(spec.sources, Store.at(environment.store))
        trial = Trial(spec, environment, Ranks(BatchPart(rank, environment.ranks), first))
        trial.ranks.check_equal("the position", trial.position)
        while link.recv() != END:
            trial.advance()
    except (EOFError, BrokenPipeError):
        os._exit(1)  # the first rank is gone
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())[:500]
        with suppress(OSError):
            link.send(("error", text))
        link.close()
        os._exit(1)
    os._exit(0)

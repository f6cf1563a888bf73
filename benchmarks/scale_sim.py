"""200 workers and 20,000 families, simulated: what breaks first when work grows?

Discrete events, seeded. Families wait for a slot of a worker, its git, its agent; then for the
home, which takes the result and proves it; the database has each look, beat and line on the way.
Service times are processor seconds, measured on two cores with a small repository and the
embedded server; a large repository takes longer at git. Agents' work is drawn: minutes, few of
them hours. One line of JSON: use of each part and the wait for it at a load, and how many times
that load uses it up, the lowest first; `--poll` is [workers] poll.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import random
import statistics
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

#: seconds: fetch, clone and lay out; pack and push; send, take and prove at home; a statement of
#: the database, and a worker's look at a queue
MEASURED = {
    "lay out": 0.06, "push": 0.055, "take": 0.06, "prove": 0.75, "statement": 0.0007, "look": 0.001,
}  # fmt: skip
#: median of an agent's work in seconds, and its spread (log-normal)
_WORK, _SPREAD, _STAGES = 240.0, 1.0, 3
#: seconds between two looks of a conductor; between two signs of life
_LOOK, _BEAT = 0.5, 1.0
#: statements of the database for one job, from handing in to the result
_STATEMENTS = 14


@dataclass
class Part:
    """Something that serves so many at a time, in the order of their coming."""

    name: str
    places: int
    busy: int = 0
    worked: float = 0.0
    waits: list[float] = field(default_factory=list)
    queue: deque[tuple[float, float, Callable[[], None]]] = field(default_factory=deque)


class World:
    def __init__(self, workers: int, slots: int, families: int, hours: float, seed: int) -> None:
        self.now, self.dice, self.count = 0.0, random.Random(seed), 0
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.workers = Part("workers' slots", workers * slots)
        self.git = Part("git host (16 at a time)", 16)
        self.home = Part("home (8 cores)", 8)
        self.parts = (self.workers, self.git, self.home)
        self.done, self.hours, self.families = 0, hours, families
        for _ in range(families):
            self.after(self.dice.uniform(0, hours * 3600), lambda: self.stage(_STAGES))

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        self.count += 1
        heapq.heappush(self.events, (self.now + seconds, self.count, act))

    def serve(self, part: Part, seconds: float, then: Callable[[], None]) -> None:
        if part.busy < part.places:
            self._begin(part, self.now, seconds, then)
        else:
            part.queue.append((self.now, seconds, then))

    def _begin(self, part: Part, came: float, seconds: float, then: Callable[[], None]) -> None:
        part.busy += 1
        part.worked += seconds
        part.waits.append(self.now - came)

        def ends() -> None:
            self.release(part)
            then()

        self.after(seconds, ends)

    def release(self, part: Part) -> None:
        part.busy -= 1
        if part.queue:
            self._begin(part, *part.queue.popleft())

    def stage(self, left: int) -> None:
        if not left:
            self.done += 1
            return
        work = self.dice.lognormvariate(math.log(_WORK), _SPREAD)
        # a slot is held from the fetch to the push
        whole = MEASURED["lay out"] + work + MEASURED["push"]
        home = MEASURED["take"] + MEASURED["prove"]

        def back() -> None:
            self.serve(self.home, home, lambda: self.stage(left - 1))

        git = MEASURED["lay out"] + MEASURED["push"]
        self.serve(self.workers, whole, lambda: self.serve(self.git, git, back))

    def run(self) -> None:
        while self.events:
            self.now, _, act = heapq.heappop(self.events)
            act()


def database_use(looks: float, busy: float, waiting: float, per_s: float) -> float:
    """The cores of the database that looks (a second), beats and jobs take."""
    statements = waiting / _LOOK * 2 + busy / _BEAT * 2 + per_s * _STATEMENTS
    return statements * MEASURED["statement"] + looks * MEASURED["look"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("workers", 200), ("slots", 4), ("families", 20_000), ("seed", 17)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--queues", type=int, default=2, help="agents of a worker")
    parser.add_argument("--poll", type=float, default=1.0)
    parser.add_argument("--hours", type=float, default=24.0)
    asked = parser.parse_args()
    world = World(asked.workers, asked.slots, asked.families, asked.hours, asked.seed)
    world.run()
    seconds = max(world.now, asked.hours * 3600)
    use = {p.name: p.worked / seconds / p.places for p in world.parts}
    busy = world.workers.worked / seconds
    waiting = busy + sum(sum(p.waits) for p in world.parts) / seconds
    per_s = asked.families * _STAGES / seconds
    looks = asked.workers * asked.queues / asked.poll
    base = database_use(looks, 0, 0, 0) / 4
    use["database (4 cores)"] = database_use(looks, busy, waiting, per_s) / 4
    # the looks of idle workers are there at any load
    limits = {
        name: max(0, 1 - base) / (part - base) if name.startswith("database") else 1 / part
        for name, part in use.items()
    }
    line = {
        "benchmark": "scale_sim",
        "families_done": world.done,
        "hours": round(world.now / 3600, 1),
        "use": {name: round(part, 3) for name, part in use.items()},
        "wait_s": {
            p.name: {
                "median": round(statistics.median(p.waits), 2),
                "p99": round(sorted(p.waits)[int(len(p.waits) * 0.99)], 2),
            }
            for p in world.parts
        },
        "looks_of_idle_workers": round(base, 3),
        "breaks_at_load": {
            name: round(load, 1) for name, load in sorted(limits.items(), key=lambda each: each[1])
        },
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()

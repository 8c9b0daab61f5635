"""What one run is asked to do, and in which order harm comes: all of it from the seed."""

import argparse
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

Acks = Literal["late", "early"]
Pool = Literal["prefork", "threads"]
Way = Literal["crmbridge", "naive"]
HarmKind = Literal["kill", "stop", "redis", "postgres"]
Victim = Literal["child", "group", "parent"]

# One pool process alone, the worker with all that belongs to it, or the worker's own process, which leaves its pool
# behind as orphans at work.
_VICTIMS: Final[Mapping[Victim, int]] = {"child": 9, "group": 9, "parent": 2}
_GAP_SECONDS: Final = (0.3, 6.0)
AT_WORK_SHARE: Final = 0.85  # of the kills wait for somebody to be in the middle of a cycle


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    seed: int = 20
    kills: int = 200
    redis_kills: int = 20
    postgres_restarts: int = 5
    stops: int = 10
    conversions: int = 500
    acks: Acks = "late"
    pool: Pool = "prefork"
    way: Way = "crmbridge"
    production: bool = False  # leases, deadlines and settle as delivered
    quiet_seconds: float = 1200.0
    keep: str | None = None

    def harms(self) -> "list[Harm]":
        rng = random.Random(f"harms {self.seed}")
        counts: dict[HarmKind, int] = {
            "kill": self.kills,
            "stop": self.stops,
            "redis": self.redis_kills,
            "postgres": self.postgres_restarts,
        }
        kinds = [kind for kind, count in counts.items() for _ in range(count)]
        rng.shuffle(kinds)
        return [
            Harm(
                kind=kind,
                gap=rng.uniform(*_GAP_SECONDS),
                into=rng.uniform(0.0, 1.5),
                victim=rng.choices([*_VICTIMS], [*_VICTIMS.values()])[0] if self.pool == "prefork" else "group",
                at_work=rng.random() < AT_WORK_SHARE,
                pick=rng.random(),
            )
            for kind in kinds
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    kind: HarmKind
    gap: float  # seconds of peace before
    into: float  # seconds after somebody was seen at work
    victim: Victim
    at_work: bool
    pick: float  # 0 to 1: which of several


def from_words(words: Sequence[str] | None = None) -> Plan:
    usual = Plan()
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=usual.seed)
    for name in ("kills", "redis_kills", "postgres_restarts", "stops", "conversions"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(usual, name))
    parser.add_argument("--acks", choices=get_args(Acks), default=usual.acks)
    parser.add_argument("--pool", choices=get_args(Pool), default=usual.pool)
    parser.add_argument("--way", choices=get_args(Way), default=usual.way, help="naive: the control, without intents")
    parser.add_argument("--production", action="store_true", help="leases, deadlines and settle as delivered")
    parser.add_argument("--quiet-seconds", type=float, default=usual.quiet_seconds, help="how long it may take after")
    parser.add_argument("--keep", metavar="FOLDER", help="a new folder in which logs, dumps and the store's rows stay")
    return Plan(**vars(parser.parse_args(words)))

"""What agents are told beside the times of their elections, and what there is beside them: it follows from a seed.

A seed is of one *kind*: what its scenario is about. The kinds are drawn apart from all else, so that what a seed was
without them it still is.
"""

import random
from collections.abc import Sequence

import attrs

# What a scenario is about, and which part of the seeds is.
KINDS = {"plain": 8, "fitness": 4, "witnesses": 2, "conflicts": 2, "mixed": 2, "routed": 2, "services": 3, "links": 2}
# What part of all seeds is about Services that are spread, and in what part of "mixed" they are: that is drawn apart.
SPREAD, SPREAD_PART, SPREAD_IN_MIXED = "spread", 0.12, 0.25
# A check: seconds between its runs, seconds that it may take, failures that count, successes that count.
CHECK_EVERY, CHECK_WITHIN, FALL, RISE = 0.5, 0.4, 2, 2


@attrs.frozen(kw_only=True)
class Manners:
    """How the agents of one scenario behave. Times are seconds.

    *checks*: each node has a check. *failback* is for how long a preferred node is fit before it asks, ``None`` for
    never. *witnesses* is how many there are on the segment; *named*: the agents are told so, else routes lead to them.

    *spread*: Services are shared among all nodes, of *weights* and in *zones* if that is told; those of *narrow* are in
    no IPv6 network. *simple*: each Service may be on each node, and has its addresses for itself. Those of *wide* have
    a second interface; where there are any, addresses are put where the node's networks say.
    """

    kind: str = "plain"
    checks: bool = False
    last_resort: bool = True
    preferred: tuple[str, ...] = ()
    failback: float | None = None
    witnesses: int = 0
    named: bool = True
    verify: str = "warn"
    verify_timeout: float = 10.0
    conflict: str = "alarm"
    spread: bool = False
    simple: bool = False
    weights: tuple[float, ...] = ()
    zones: tuple[str, ...] = ()
    narrow: tuple[str, ...] = ()
    wide: tuple[str, ...] = ()

    @property
    def routed(self) -> bool:
        """Whether every node announces, to a routing daemon."""
        return self.kind == "routed"

    @property
    def own_leases(self) -> bool:
        """Whether each Service has a Lease of its own."""
        return self.kind == "services"

    @property
    def about_fitness(self) -> bool:
        """Whether nodes are cordoned, checked and asked to hand over."""
        return self.kind in ("fitness", "mixed")

    @property
    def about_witnesses(self) -> bool:
        """Whether takeovers are verified."""
        return self.kind in ("witnesses", "mixed")

    @property
    def about_conflicts(self) -> bool:
        """Whether other machines claim addresses."""
        return self.kind in ("conflicts", "mixed")

    @property
    def about_links(self) -> bool:
        """Whether links go down and come back, by which the API server is reached, too."""
        return self.kind == "links"

    @property
    def noticed(self) -> float:
        """After how many seconds a failing check counts."""
        return FALL * CHECK_EVERY + CHECK_WITHIN

    def __str__(self) -> str:
        plain = Manners()
        told = [
            f"{field.name} {value}"
            for field in attrs.fields(Manners)
            if (value := getattr(self, field.name)) != getattr(plain, field.name)
        ]
        return ", ".join(told)


PLAIN = Manners()


def draw_manners(chance: random.Random, nodes: Sequence[str], kind: str | None = None) -> Manners:
    """Draw them, for *nodes*; *kind* takes the place of the drawn one."""
    (drawn,) = chance.choices(list(KINDS), list(KINDS.values()))
    found = Manners(kind=kind or drawn)
    if found.about_fitness:
        found = _with_fitness(found, chance, nodes)
    if found.about_witnesses:
        found = attrs.evolve(
            found,
            witnesses=chance.choice((1, 1, 2)),
            named=chance.random() < 0.5,
            verify=chance.choice(("resign", "resign", "resign", "warn", "off")),
            verify_timeout=chance.choice((1.0, 2.0, 4.0)),
        )
    if found.about_conflicts:
        found = attrs.evolve(found, conflict=chance.choice(("alarm", "defend", "yield")))
    return found


def _with_fitness(manners: Manners, chance: random.Random, nodes: Sequence[str]) -> Manners:
    preferred = tuple(chance.sample(nodes, chance.choice((0, 1, len(nodes)))))
    return attrs.evolve(
        manners,
        checks=chance.random() < 0.7,
        last_resort=chance.random() < 0.85,
        preferred=preferred,
        failback=chance.choice((None, 0.0, 2.0)) if preferred else None,
    )

"""A fuzz target for the parsers: damages messages that real speakers sent, for ever or for some seconds.

``python -m tests.bgp.fuzz [seconds] [seed]`` prints the seed. ``python -m tests.bgp.fuzz guided [corpus] [options]``
lets atheris look for ways through the parsers, where that is installed (``pip install atheris``).
"""

import importlib
import random
import sys
import time
from contextlib import suppress

from kubevip_bgp import advertisements, bfd
from kubevip_bgp.messages import Stream, Terms
from kubevip_bgp.notification import ProtocolError

from tests.bgp.captured import CAPTURED, MARKER

CORPUS = [bytes.fromhex(MARKER + text) for text, _message in CAPTURED.values()]
TERMS = [
    Terms(four_octet=four, extended=extended, internal=internal)
    for four in (True, False)
    for extended in (True, False)
    for internal in (True, False)
]


def parse_one(data: bytes) -> None:
    """Read *data* as messages by all terms, as a BFD packet, and as a frame; anything but a known refusal is a bug."""
    for terms in TERMS:
        stream = Stream(terms)
        stream.feed(data)
        with suppress(ProtocolError):
            for message in stream.messages():
                str(message)
    with suppress(bfd.Malformed):
        bfd.decode(data[19:])
    for kind in (advertisements.SOLICITATION, advertisements.ADVERTISEMENT):
        advertisements.sender_of(data, kind)


def damaged(rng: random.Random) -> bytes:
    """Return a message with a few wrong bytes, whose length is right most of the time."""
    data = bytearray(rng.choice(CORPUS))
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(18, len(data))
        change = rng.randrange(4)
        if change == 0:
            data[at] = rng.randrange(256)
        elif change == 1:
            data[at:at] = rng.randbytes(rng.randint(1, 8))
        elif change == 2 and len(data) > 20:
            del data[at]
        else:
            data[at] ^= 1 << rng.randrange(8)
    if rng.random() < 0.9:
        data[16:18] = len(data).to_bytes(2)
    return bytes(data)


def guided() -> None:
    """Let atheris choose what to read, by which lines it reaches."""
    try:
        atheris = importlib.import_module("atheris")
    except ImportError:
        sys.exit("atheris isn't installed; the same without it: python -m tests.bgp.fuzz")
    atheris.instrument_all()
    atheris.Setup([sys.argv[0], *sys.argv[2:]], parse_one)
    atheris.Fuzz()


def main() -> None:
    if sys.argv[1:2] == ["guided"]:
        guided()
        return
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else float("inf")
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(2**32)
    print(f"seed {seed}", flush=True)
    rng, until, count = random.Random(seed), time.monotonic() + seconds, 0
    while time.monotonic() < until:
        data = damaged(rng)
        count += 1
        try:
            parse_one(data)
        except Exception:
            print(f"after {count}: {data.hex()}", flush=True)
            raise
    print(f"{count} messages")


if __name__ == "__main__":
    main()

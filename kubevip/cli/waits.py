"""How long a command waits, as it is told on the command line."""

import argparse

# Beyond that nobody sits before a terminal, in seconds.
_LONGEST_WAIT = 3600.0


def seconds(text: str) -> float:
    """Read seconds to wait.

    :raises argparse.ArgumentTypeError: with what would be right.
    """
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 < value <= _LONGEST_WAIT:
        raise argparse.ArgumentTypeError(f"{text!r}: write seconds above 0, at most {_LONGEST_WAIT:g}")
    return value

"""Ends a command quietly when nobody reads its output any more: ``head`` has seen enough, a pager was left."""

import os
import sys
from collections.abc import Callable


def tell_while_read(command: Callable[[], int], failure: int = 1) -> int:
    """Run *command*; return its exit code, or *failure* where the pipe behind its output was closed before its end."""
    try:
        try:
            return command()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # What is left would be written into the pipe at the end once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return failure

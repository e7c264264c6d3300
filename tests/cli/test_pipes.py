"""Output that nobody reads any more."""

import subprocess
import sys

PROGRAM = """
import os, sys
from kubevip.cli.pipes import tell_while_read
reader, writer = os.pipe()
os.close(reader)
os.dup2(writer, sys.stdout.fileno())
def command():
    print("settings and state")
    return 0
print(tell_while_read(command), tell_while_read(command, 7), file=sys.stderr)
"""


def test_nobody_reads_it_and_whoever_prints_goes_on() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "1 0\n")

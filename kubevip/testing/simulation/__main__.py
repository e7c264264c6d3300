"""``python -m kubevip.testing.simulation``: see ``program``.

Nothing else is imported before it is certain that texts have the same hashes as in every other process.
"""

import os
import sys

from kubevip.testing.simulation import repeatable

if __name__ == "__main__":
    if not repeatable.is_repeatable():
        again = [sys.executable, "-m", "kubevip.testing.simulation", *sys.argv[1:]]
        os.execve(sys.executable, again, repeatable.environment())
    from kubevip.testing.simulation.program import main

    sys.exit(main(sys.argv[1:]))

"""Child processes that never outlive the process that started them, however it ends.

The kernel kills a child when its parent dies (``setpriv --pdeathsig KILL``). "Parent" means the
*thread* that forked it. So one thread, which lives as long as the interpreter, forks all children:
the end of a short-lived thread kills none.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


def spawn(argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """Start a program as a child of this process; ``options`` are those of ``Popen``.

    It has a session of its own: ^C in a terminal reaches us alone, and we stop it in order.

    Raises:
        OSError: there is no ``setpriv``.
    """
    command = ["setpriv", "--pdeathsig", "KILL", "--", *argv]
    return _spawner.submit(
        partial(subprocess.Popen, command, start_new_session=True, **options)
    ).result()

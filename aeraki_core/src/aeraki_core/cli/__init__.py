"""The command ``aeraki``: one module per command, one module (output.py) that prints.

Data goes to stdout, all else to stderr. A command's module is imported when the command runs, and
heavy libraries when they are needed: ``aeraki --help`` answers at once. docs/cli.md is the page for
users.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["krm", "main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; ``arguments`` default to the process's own."""
    import signal
    import sys

    from aeraki_core.cli import upstream
    from aeraki_core.cli.group import cli
    from aeraki_core.console import output

    args = list(sys.argv[1:] if arguments is None else arguments)
    if args[:1] == ["help"]:  # as with kubectl
        args = [*args[1:], "--help"]
    translated, notes = upstream.translate(args)
    for note in notes:
        output.warning(note)
    try:
        cli.main(translated, prog_name="aeraki")
    finally:
        if arguments is None:
            # The process ends: another Ctrl-C may end it sooner, and needs no traceback.
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def krm() -> None:
    """Run ``aeraki krm``, for callers that give an executable no arguments."""
    import sys

    main(["krm", *sys.argv[1:]])

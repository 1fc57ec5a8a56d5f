"""``python -m aeraki_core`` is ``aeraki``."""

from __future__ import annotations

from aeraki_core.cli import main

if __name__ == "__main__":
    main()

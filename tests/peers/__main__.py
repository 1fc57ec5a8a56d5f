"""`python -m tests.peers` builds the Java peers with progress, so that no test waits for Maven."""

import logging
import signal
import sys

from . import apache_dubbo, kafka

logging.basicConfig(format="java peers: %(message)s", level=logging.INFO)
# So that Maven ends with us, and not in the middle of the next build.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

# One after the other: Maven's own cache takes no two at once.
for version in apache_dubbo.VERSIONS:
    apache_dubbo.jars(version)
kafka.jars()

"""`python -m tests.peers` builds the Java peers, so that no test has to wait for Maven."""

from . import apache_dubbo, kafka

for version in apache_dubbo.VERSIONS:
    apache_dubbo.jars(version)
kafka.jars()

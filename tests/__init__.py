"""The tests of all distributions, and the servers and tools that they share."""

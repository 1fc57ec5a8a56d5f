"""Peers: real servers and clients of every protocol, to put behind and in front of an Envoy.

Each module is usable without Envoy and without the core; `test_peers.py` lets every pair talk
directly.
"""

"""Plugins: found through entry points, checked before use, called behind a guard.

discovery.py finds and imports, registry.py decides which are active and why others are not,
dispatch.py is the only caller of hooks.
"""

"""Where filters go: a folder of files, a cluster, memory.

Each sink reports what is live and applies a plan (base.py).
"""

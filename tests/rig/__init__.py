"""A real mesh on one machine: etcd, kube-apiserver, istiod, and Envoys as sidecars.

See README.md beside this file. Tests take the fixtures of `tests.rig.fixtures`.
"""

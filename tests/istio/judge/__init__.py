"""The judge: random meshes in a real istiod, with and without our filters, and what may differ.

`meshes` draws them, `court` shows them to istiod and asks for each client's configuration, `checks`
compares, `shrink` drops what a failure does not need.
"""

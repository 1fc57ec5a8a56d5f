"""What the core knows of a mesh: objects as frozen values, parsed from Kubernetes dictionaries. No client in sight.

In: a dictionary as Kubernetes writes it. Out: a typed object, or :class:`~aeraki_core.errors.RejectedError` naming the fields.
"""

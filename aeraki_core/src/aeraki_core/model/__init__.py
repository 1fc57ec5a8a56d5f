"""The objects of a mesh as frozen values, parsed from Kubernetes dictionaries, without a client.

Parsing returns a typed object or raises :class:`~aeraki_core.errors.RejectedError` with the fields.
"""

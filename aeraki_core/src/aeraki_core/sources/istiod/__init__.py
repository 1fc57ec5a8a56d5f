"""istiod's view of the mesh: the source ``istiod`` and what proxies refuse, both over xDS.

``source.py`` reads configuration (istiod's "api" generator, also called MCP over xDS), and
``proxies.py`` asks which proxies have acknowledged what. Both use ``stream.py``, one stream, and
``connection.py``, which knows where istiod is and who we are. ``decode.py`` turns what istiod sends
into Kubernetes objects, and ``mirror.py`` finds what of it is new.
"""

"""istiod's view of the mesh: the source ``istiod`` and what proxies refuse, both over xDS.

``source.py`` reads configuration (istiod's "api" generator, also called MCP over xDS), ``proxies.py`` asks which proxies have
acknowledged what, ``stream.py`` is the one stream that both use, ``connection.py`` says where istiod is and who we are,
``decode.py`` turns what istiod sends into Kubernetes objects.
"""

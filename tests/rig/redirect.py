"""What iptables does in a pod with a sidecar: Istio's usual rules."""

ADMIN_PORT = 15000
"""Of a sidecar in a pod; excepted from the redirection, so that tests reach it."""
PROXY_GROUP = 1337
"""The group that sidecars run as; iptables lets its traffic pass.

Istio's rules know this group beside a user of the same number. The user stays root, so that a
checkout or a cache that only root can read is no obstacle.
"""

RULES = f"""\
*nat
:ISTIO_INBOUND - [0:0]
:ISTIO_IN_REDIRECT - [0:0]
:ISTIO_OUTPUT - [0:0]
:ISTIO_REDIRECT - [0:0]
-A PREROUTING -p tcp -j ISTIO_INBOUND
-A OUTPUT -p tcp -j ISTIO_OUTPUT
-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001
-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006
-A ISTIO_INBOUND -p tcp -m multiport --dports {ADMIN_PORT},15008,15020,15021,15090 -j RETURN
-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT
-A ISTIO_OUTPUT -s 127.0.0.6/32 -o lo -j RETURN
-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -p tcp -m owner --gid-owner {PROXY_GROUP} \
-j ISTIO_IN_REDIRECT
-A ISTIO_OUTPUT -o lo -m owner ! --gid-owner {PROXY_GROUP} -j RETURN
-A ISTIO_OUTPUT -m owner --gid-owner {PROXY_GROUP} -j RETURN
-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN
-A ISTIO_OUTPUT -j ISTIO_REDIRECT
COMMIT
"""

"""Meshes that the page is made of."""

from __future__ import annotations

__all__ = ["HOSTILE", "PAYLOAD"]

PAYLOAD = "\\\"'><script>document.title='owned'</script><img src=x onerror=alert(1)>\\u202e\\e[2J"
"""What a name would need to break out of text or of an attribute (escaped for YAML)."""

HOSTILE = f"""\
apiVersion: v1
kind: Service
metadata:
  name: hello
  namespace: shop
  annotations: {{thrift.aeraki.io/transport: "{PAYLOAD}"}}
spec:
  clusterIP: 10.96.0.7
  selector: {{app: hello}}
  ports: [{{name: tcp-thrift, port: 9090}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: "v{PAYLOAD}", namespace: shop}}
spec:
  hosts: [hello]
  http:
  - name: "{PAYLOAD}"
    match:
    - method: {{exact: "{PAYLOAD}"}}
      headers: {{"x{PAYLOAD}": {{prefix: "{PAYLOAD}"}}}}
    route:
    - {{destination: {{host: hello, subset: "{PAYLOAD}"}}, weight: 20}}
    - {{destination: {{host: "{PAYLOAD}", port: {{number: 9090}}}}, weight: 80}}
---
apiVersion: v1
kind: Service
metadata: {{name: "s{PAYLOAD}", namespace: "n{PAYLOAD}"}}
spec: {{clusterIP: 10.96.0.8, ports: [{{name: "tcp-thrft", port: 9090}}]}}
"""

"""A protocol for tests of the core, which knows none: ``echo``, whose filter Envoy has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from aeraki_core.filters.envoyfilter import EnvoyFilter
from aeraki_core.mesh.store import SourceObject
from aeraki_core.model.mesh import Mesh
from aeraki_core.model.meta import ObjectRef, group_of_plugin
from aeraki_core.pipeline.pipeline import Pipeline
from aeraki_core.plugins.discovery import Candidate
from aeraki_core.plugins.dispatch import Dispatcher
from aeraki_core.plugins.registry import build_registry
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.extensions.filters.network.echo.v3.echo_pb2 import Echo
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from pydantic import BaseModel

from aeraki_core import (
    Code,
    Extension,
    GenerateContext,
    Kind,
    Option,
    OptionType,
    Patch,
    Protocol,
    Resource,
    Severity,
    ValidateContext,
    hookimpl,
)

ECHO = "envoy.filters.network.echo"
BAD_VOLUME = Code(
    id="ECH0101", severity=Severity.WARNING, title="volume is too high", action="Lower it."
)


class EchoSpec(BaseModel):
    host: str
    volume: int = 1
    secret: str | None = None


POLICY = Kind(
    group="echo.example.com",
    version="v1",
    kind="EchoPolicy",
    plural="echopolicies",
    spec=EchoSpec,
    summary="How to echo",
    hosts=lambda spec: (spec.host,),
    secrets=lambda spec: (spec.secret,) if spec.secret else (),
)


VOLUME = Option(
    name="volume", type=OptionType.INT, help="How loud", default=1, maximum=11, aliases=("volume",)
)
FAIL = Option(name="fail", type=OptionType.BOOL, help="Raise", default=False)
CLUSTER = Option(name="cluster", type=OptionType.BOOL, help="Merge into the cluster", default=False)


class EchoPlugin:
    """Says in the stat prefix what it read, so that tests see it in the filter."""

    def __init__(self, *, name: str = "echo", stock: bool = True, insert: bool = False) -> None:
        self.protocol = Protocol(
            name=name,
            tokens=(name,),
            extension=Extension(ECHO, stock),
            summary="Echo",
            options=(VOLUME, FAIL, CLUSTER),
            codes=(BAD_VOLUME,),
        )
        self.insert = insert

    @hookimpl
    def aeraki_protocols(self) -> Iterable[Protocol]:
        return [self.protocol]

    @hookimpl
    def aeraki_resources(self) -> Iterable[Kind[Any]]:
        return [POLICY]

    @hookimpl
    def aeraki_generate(self, protocol: Protocol, context: GenerateContext) -> Iterator[Patch]:
        if context.option(FAIL):
            raise RuntimeError("asked to")
        if context.option(VOLUME) == 11:
            context.report(BAD_VOLUME, "it cannot be louder", field=context.option_field(VOLUME))
        said = [f"volume={context.option(VOLUME)}"]
        for policy in context.resources(POLICY):
            said.append(f"policy={policy.spec.volume}")
            if policy.spec.secret:
                secret = context.secret(policy.namespace, policy.spec.secret)
                if secret is None:
                    raise context.missing_secret(
                        f"no Secret {policy.spec.secret}", policy.ref, "spec.secret"
                    )
                said.append(f"secret={len(secret.data)}")
        for route in context.routes(match=("method", "headers")):
            method = route.match.method
            said.append(
                f"{method.exact if method else '*'}>"
                + "+".join(f"{c.cluster}:{c.weight}" for c in route.clusters)
            )
        for side in (context.outbound, *context.inbound):
            config = TcpProxy(stat_prefix=" ".join(said), cluster=side.cluster)
            if self.insert:
                yield side.insert_before_tcp_proxy(ECHO, Echo())
            else:
                yield side.replace_tcp_proxy(ECHO, config)
        if context.option(CLUSTER):
            yield context.outbound.merge_cluster(Cluster(alt_stat_name="echo"))

    @hookimpl
    def aeraki_validate(self, resource: Resource[EchoSpec], context: ValidateContext) -> None:
        if resource.spec.volume > 11:
            context.report(BAD_VOLUME, f"{resource.spec.volume} is above 11", field="spec.volume")


class Mesher:
    """A mesh that a test builds object by object, and what the pipeline makes of it."""

    def __init__(self, *plugins: Any, mesh: Mesh | None = None, **kwargs: Any) -> None:
        found = plugins or (EchoPlugin(),)
        names = [plugin.protocol.name for plugin in found]
        candidates = [
            Candidate(name, f"{name}-dist", "1.0", module=item)
            for name, item in zip(names, found, strict=True)
        ]
        self._start(candidates, mesh, **kwargs)

    @classmethod
    def of(cls, candidates: Iterable[Candidate], mesh: Mesh | None = None) -> Mesher:
        """A mesh with these plugins, whatever they bring."""
        mesher = cls.__new__(cls)
        mesher._start(candidates, mesh)
        return mesher

    def _start(self, candidates: Iterable[Candidate], mesh: Mesh | None, **kwargs: Any) -> None:
        self.registry = build_registry(candidates)
        self.dispatcher = Dispatcher(self.registry)
        self.pipeline = Pipeline(mesh or Mesh(), self.dispatcher, **kwargs)

    def put(
        self, kind: str, name: str, spec: Any, *, namespace: str = "shop", **metadata: Any
    ) -> ObjectRef:
        api = {
            "Service": "v1",
            "Secret": "v1",
            "Namespace": "v1",
            "EndpointSlice": "discovery.k8s.io/v1",
            "EchoPolicy": "echo.example.com/v1",
        }.get(kind, "networking.istio.io/v1")
        ref = ObjectRef(kind, namespace, name, group_of_plugin(api.rpartition("/")[0]))
        body = spec if kind in ("Secret", "EndpointSlice") else {"spec": spec}
        content = {"metadata": {"name": name, "namespace": namespace, **metadata}, **body}
        self.pipeline.upsert(SourceObject(ref, api, content))
        return ref

    def service(
        self, name: str = "cart", ip: str | None = "10.0.0.1", port: int = 7000, **extra: Any
    ) -> ObjectRef:
        metadata = {
            key: extra.pop(key)
            for key in ("annotations", "labels", "creationTimestamp", "namespace")
            if key in extra
        }
        ports = extra.pop(
            "ports", [{"name": "tcp-echo", "port": port, "targetPort": extra.pop("target", 9000)}]
        )
        spec = {"clusterIP": ip, "selector": {"app": name}, "ports": ports, **extra}
        return self.put(
            "Service",
            name,
            {key: value for key, value in spec.items() if value is not None},
            **metadata,
        )

    def entry(
        self, name: str, hosts: list[str], ports: list[dict[str, Any]] | None = None, **extra: Any
    ) -> ObjectRef:
        metadata = {
            key: extra.pop(key)
            for key in ("annotations", "labels", "creationTimestamp", "namespace")
            if key in extra
        }
        status = extra.pop("status", None)
        found = ports or [{"number": 7000, "name": "tcp-echo", "protocol": "TCP"}]
        ref = ObjectRef("ServiceEntry", metadata.get("namespace", "shop"), name)
        content: dict[str, Any] = {
            "metadata": {"name": name, **metadata},
            "spec": {"hosts": hosts, "ports": found, **extra},
        }
        if status:
            content["status"] = status
        self.pipeline.upsert(SourceObject(ref, "networking.istio.io/v1", content))
        return ref

    def routes(
        self, name: str, hosts: list[str], http: list[Any], *, namespace: str = "shop", **extra: Any
    ) -> ObjectRef:
        created = extra.pop("creationTimestamp", "2026-01-01T00:00:00Z")
        spec = {"hosts": hosts, "http": http, **extra}
        return self.put(
            "VirtualService", name, spec, namespace=namespace, creationTimestamp=created
        )

    def run(self) -> Any:
        return self.pipeline.run()

    def said(
        self,
        key: str = "aeraki-outbound-cart.shop.svc.cluster.local-7000",
        namespace: str = "istio-system",
    ) -> str:
        """Return the generator's text in a filter of that name."""
        from google.protobuf.any_pb2 import Any as AnyMessage

        self.run()
        found = next(item for item in self.pipeline.filters if item[:2] == (namespace, key))
        envoy_filter = self.pipeline.filters[found]
        assert isinstance(envoy_filter, EnvoyFilter)
        value = envoy_filter.patches[0].value
        assert value is not None
        packed: AnyMessage = value.message().typed_config  # type: ignore[attr-defined]
        config = TcpProxy()
        packed.Unpack(config)
        return str(config.stat_prefix)

    def names(self) -> set[str]:
        self.run()
        return {str(key) for key in self.pipeline.filters}

    def codes(self) -> list[str]:
        self.run()
        return [finding.code.id for finding in self.pipeline.findings()]

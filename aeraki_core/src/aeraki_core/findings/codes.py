"""Every finding that the core reports, in groups of a hundred.

docs/findings.md is generated from this file.
"""

from __future__ import annotations

from aeraki_core.findings.finding import Code, Severity

_E, _W, _I = Severity.ERROR, Severity.WARNING, Severity.INFO

# 01xx: what a source read.
NOT_YAML = Code(
    id="AER0101",
    severity=_E,
    title="not valid YAML or JSON",
    action="Fix the syntax error on the reported line. "
    "The last valid version of the file stays in effect.",
)
NOT_AN_OBJECT = Code(
    id="AER0102",
    severity=_W,
    title="not a Kubernetes object",
    action="Give the document an apiVersion, a kind and a metadata.name, or move the file away.",
)
UNREADABLE = Code(
    id="AER0103",
    severity=_E,
    title="file cannot be read",
    action="Check that the file exists and its permissions. "
    "Its last readable version stays in effect.",
)
TOO_LARGE = Code(
    id="AER0104",
    severity=_E,
    title="file is too large",
    action="Split the file, or raise --max-file-size.",
)
UNKNOWN_KIND = Code(
    id="AER0105",
    severity=_W,
    title="unknown kind",
    action="Correct apiVersion and kind, or install the plugin that provides the kind.",
)
UPSTREAM_KIND = Code(
    id="AER0118",
    severity=_W,
    title="kind of upstream Aeraki that is not read",
    action="Write what the message says. docs/comparison.md has a counterpart for each field.",
)
ISTIOD_ALONE = Code(
    id="AER0119",
    severity=_I,
    title="source istiod does not send everything",
    action="Add --source kubernetes, if the controller may read the API server.",
)
REJECTED = Code(
    id="AER0106",
    severity=_E,
    title="object does not match its schema",
    action="Correct the field. The last valid version of the object stays in effect.",
)
DUPLICATE = Code(
    id="AER0107",
    severity=_W,
    title="duplicate object",
    action="Remove one of the two. The first in file order is used.",
)
SYMLINK_LOOP = Code(
    id="AER0108",
    severity=_W,
    title="symbolic link loop",
    action="Remove the link. The folder is read once.",
)
EMPTY = Code(
    id="AER0109",
    severity=_I,
    title="file contains no object",
    action="Remove the file if it is not needed.",
)
BAD_NAME = Code(
    id="AER0110",
    severity=_E,
    title="invalid name",
    action="Use lower-case letters, digits, '-' and '.', "
    "at most 253 characters (Kubernetes names).",
)
BAD_OPTION = Code(
    id="AER0111",
    severity=_W,
    title="invalid option",
    action="Correct the annotation. The default is used until then.",
)
UNKNOWN_OPTION = Code(
    id="AER0112",
    severity=_W,
    title="unknown option",
    action="Correct the name of the annotation. `aeraki plugins NAME` lists the options.",
)
KIND_NOT_SERVED = Code(
    id="AER0113",
    severity=_W,
    title="cluster does not serve the kind",
    action="Apply its CRD (`aeraki crds` prints those of the plugins). "
    "Objects that were read before stay in effect.",
)
NOT_READ = Code(
    id="AER0114",
    severity=_W,
    title="objects cannot be read from the cluster",
    action="Check that the API server answers, "
    "and that the ServiceAccount has the rights that `aeraki rbac` prints.",
)
ISTIOD_NOT_READ = Code(
    id="AER0115",
    severity=_W,
    title="configuration cannot be read from istiod",
    action="Check that istiod runs, its address and certificate, and the ServiceAccount's token. "
    "Report an answer in an unknown form as an issue. "
    "Configuration that was read before stays in effect.",
)
SECRET_NOT_RELEASED = Code(
    id="AER0117",
    severity=_W,
    title="Secret is not for Aeraki to read",
    action='Set the label `aeraki.io/secret: "true"` on the Secret, or use one of type Opaque or '
    "kubernetes.io/basic-auth. What was read before is forgotten.",
)
NOT_KUBERNETES = Code(
    id="AER0116",
    severity=_I,
    title="file is not a Kubernetes manifest",
    action="Exclude the file with --exclude or .gitignore, or ignore this code. "
    "Nothing of it is used.",
)

# 02xx: ports, addresses and workloads.
LISTENER_TAKEN = Code(
    id="AER0201",
    severity=_W,
    title="two services claim one address and port",
    action="Change the address or port of one of them. The older service keeps the listener.",
)
NO_LISTENER = Code(
    id="AER0202",
    severity=_W,
    title="service has no listener",
    action="Give the service an address, or a resolution that Istio accepts for TCP.",
)
UNRESOLVED_TARGET_PORT = Code(
    id="AER0203",
    severity=_W,
    title="unknown named target port",
    action="Add the EndpointSlices of the service, or use a number as targetPort.",
)
INBOUND_TAKEN = Code(
    id="AER0204",
    severity=_W,
    title="two services configure one port of a workload differently",
    action="Use the same protocol and options for both ports. The older service takes effect.",
)
MISSING_EXTENSION = Code(
    id="AER0205",
    severity=_W,
    title="proxies lack the Envoy extension",
    action="Use a proxy image with the extension, then list it in --proxy-extensions.",
)
HEADLESS_ROUTES = Code(
    id="AER0206",
    severity=_W,
    title="routes have no effect on this service",
    action="Give the service a cluster IP (ServiceEntry: "
    "a resolution other than NONE), or remove the routes.",
)
SHARED_CIDR = Code(
    id="AER0207",
    severity=_W,
    title="services with address ranges or TLS share a port",
    action="Use a different port for each service. Until then none of them gets a filter.",
)
NO_ADDRESS = Code(
    id="AER0209",
    severity=_W,
    title="service has no cluster IP yet",
    action="Render from the objects in the cluster, or set spec.clusterIP. "
    "A filter needs the address.",
)
INBOUND_OVERLAP = Code(
    id="AER0210",
    severity=_W,
    title="overlapping selectors configure one port differently",
    action="Use the same protocol and options for both ports, "
    "or add a label so that the selectors do not overlap.",
)
STAND_IN_ADDRESS = Code(
    id="AER0230",
    severity=_I,
    title="stand-in address for a service without cluster IP",
    action="Nothing to do for a check. "
    "For filters that work, take the address from the cluster with --use-cluster.",
)
ARRANGED_OTHERWISE = Code(
    id="AER0231",
    severity=_I,
    title="controller has these filters in other namespaces",
    action="Set `arrangement: imports` if PATHs hold the Sidecars of the whole mesh; or set "
    "`arrangement: service` here and for the controller (docs/cluster.md).",
)

HEADLESS_WITHOUT_ENDPOINTS = Code(
    id="AER0232",
    severity=_I,
    title="headless service has no endpoints",
    action="Nothing to do for a check of manifests. In a cluster, start pods of the service.",
)

PORT_MISNAMED = Code(
    id="AER0211",
    severity=_W,
    title="port name or appProtocol is close to a known protocol",
    action="Correct the name; until then the port has no filter.",
)
PORT_WITHOUT_PREFIX = Code(
    id="AER0212",
    severity=_I,
    title="port name lacks the prefix tcp-",
    action="Name the port tcp-<protocol>, or set its appProtocol, to have filters for it.",
)
PLUGIN_NOT_ACTIVE = Code(
    id="AER0213",
    severity=_W,
    title="plugin of the port's protocol is not active",
    action="See `aeraki plugins`; filters that the plugin made are kept.",
)
OPTION_WITHOUT_PORT = Code(
    id="AER0214",
    severity=_W,
    title="option of a protocol that no port speaks",
    action="Name the port tcp-<protocol>, set its appProtocol, or remove the annotation.",
)
LOST_PROTOCOL = Code(
    id="AER0215",
    severity=_W,
    title="port lost its protocol, and its filters are removed",
    action="Correct the port's name or appProtocol, unless the change was meant. "
    "This is reported until the service changes again.",
)
PORT_NOT_SPOKEN = Code(
    id="AER0216",
    severity=_I,
    title="ports of a protocol that no active plugin speaks",
    action="Install or enable the plugin of the protocol, if there is one; "
    "until then Istio treats the ports as plain TCP.",
)
HOST_TAKEN = Code(
    id="AER0218",
    severity=_W,
    title="host belongs to another service",
    action="Use a host of your own. The object takes effect for clients in its own namespace only.",
)
ROOT_EXPORT = Code(
    id="AER0219",
    severity=_W,
    title="exported to the root namespace",
    action="Remove the root namespace from exportTo, or export the service to all namespaces.",
)
TOO_MANY_VIEWS = Code(
    id="AER0220",
    severity=_W,
    title="too many client namespaces with settings of their own",
    action="Use fewer VirtualServices, "
    "DestinationRules and resources of single namespaces for the host.",
)
CLUSTER_SHARED = Code(
    id="AER0221",
    severity=_W,
    title="cluster settings reach clients with other rules",
    action="Remove the DestinationRule or resource in the named namespaces, "
    "or make it equal to the others.",
)
SIDECAR_LISTENER = Code(
    id="AER0222",
    severity=_W,
    title="Sidecar has a listener of its own for the port",
    action="Remove bind and captureMode NONE from the Sidecar's egress listener, "
    "if its clients need the protocol.",
)
FOREIGN_FILTER = Code(
    id="AER0223",
    severity=_W,
    title="EnvoyFilter of somebody else changes the same place",
    action="Change it as the message says, "
    "or leave the port to it with the annotation aeraki.io/exclude.",
)
HASH_UNUSED = Code(
    id="AER0224",
    severity=_W,
    title="consistentHash has no effect on the protocol",
    action="Remove it, or use another load balancer: calls are spread as if no key was given.",
)
UNFOLLOWED_SELECTOR = Code(
    id="AER0225",
    severity=_W,
    title="workloadSelector is not followed",
    action="Move the object out of the root namespace, "
    "or use fewer selectors that can match the same workloads.",
)
EXTERNAL_NAME = Code(
    id="AER0226",
    severity=_W,
    title="ExternalName Service has no listener",
    action="Name the port at the Service or ServiceEntry of the host that the name stands for.",
)
PORT_SAYS_TLS = Code(
    id="AER0227",
    severity=_W,
    title="port's name says that its clients speak TLS",
    action="Set appProtocol (a ServiceEntry: protocol) if they do not; "
    "no filter can read what is encrypted.",
)
PROTOCOL_REFUSED = Code(
    id="AER0228",
    severity=_W,
    title="protocol is unknown to Istio",
    action="Set the port's protocol to TCP and name it tcp-<protocol>.",
)
FOREIGN_CLUSTER = Code(
    id="AER0217",
    severity=_E,
    title="plugin changes a cluster of another service",
    action="Report this to the author of the plugin; the last good filter stays until then.",
)

# 03xx: routes.
UNKNOWN_HOST = Code(
    id="AER0301",
    severity=_W,
    title="host is not in the mesh",
    action="Correct the host, or add its Service or ServiceEntry. "
    "An http route does without it until then.",
)
UNKNOWN_SUBSET = Code(
    id="AER0302",
    severity=_E,
    title="unknown subset",
    action="Add the subset to the DestinationRule, or correct its name. "
    "An http route does without it until then.",
)
UNKNOWN_PORT = Code(
    id="AER0303",
    severity=_E,
    title="ambiguous destination port",
    action="Set the destination's port.number.",
)
WEIGHTS = Code(
    id="AER0304",
    severity=_E,
    title="invalid weights",
    action="Set a weight on each destination, at least one above 0.",
)
CLIENT_MATCH = Code(
    id="AER0305",
    severity=_W,
    title="unsupported match on the client",
    action="Remove sourceLabels, sourceNamespace or gateways from the match; "
    "the route is left out.",
)
UNSUPPORTED_MATCH = Code(
    id="AER0306",
    severity=_W,
    title="unsupported match",
    action="Correct or remove the field. "
    "The route is ignored, because without the field it would match more calls.",
)
UNSUPPORTED_FIELD = Code(
    id="AER0307",
    severity=_W,
    title="unsupported field",
    action="Remove the field. The rest of the route takes effect.",
)
NO_DESTINATION = Code(
    id="AER0308",
    severity=_E,
    title="route has no destination",
    action="Add a destination. The route is ignored until then.",
)
BAD_REGEX = Code(
    id="AER0309",
    severity=_E,
    title="invalid regular expression",
    action="Correct the expression: RE2 syntax, without look-around and back-references. "
    "The route is ignored until then.",
)
SHADOWED = Code(
    id="AER0310",
    severity=_W,
    title="an older object takes precedence for the host",
    action="Merge the two objects. The older one is used.",
)
TLS_ROUTES = Code(
    id="AER0311",
    severity=_W,
    title="tls routes have no effect",
    action="Use the http section for this protocol's routes.",
)
NO_ROUTE_LEFT = Code(
    id="AER0312",
    severity=_E,
    title="no route can be used",
    action="Write routes that the protocol can match on; "
    "until then calls go where Istio sends them.",
)
METHOD_ROUTES_UNUSED = Code(
    id="AER0314",
    severity=_W,
    title="routes by method for ports without a known protocol",
    action="Name the port tcp-<protocol>, or set its appProtocol.",
)
GATEWAY_ROUTES = Code(
    id="AER0315",
    severity=_I,
    title="routes of a gateway do not apply to the protocol",
    action="Bind the VirtualService to mesh for routes in sidecars; at gateways use tcp routes.",
)
LIVE_WEIGHTS_OFF = Code(
    id="AER0316",
    severity=_W,
    title="live weights are requested but switched off",
    action="Set --live-weights annotated, or remove the annotation aeraki.io/live-weights.",
)
LIVE_WEIGHTS_UNUSED = Code(
    id="AER0317",
    severity=_W,
    title="weights of a route cannot be live",
    action="See the message and docs/canary.md; the route has ordinary weights until then.",
)
LIVE_WEIGHTS_EMPTY = Code(
    id="AER0318",
    severity=_W,
    title="destination with a weight has no ready endpoint",
    action="Start pods of that subset, or give it weight 0.",
)
LIVE_WEIGHTS_BALANCER = Code(
    id="AER0319",
    severity=_I,
    title="loadBalancer has no effect on live weights",
    action="Nothing, if calls need not stay with a server; otherwise use ordinary weights here.",
)
ATTACHED_ROUTE_UNUSED = Code(
    id="AER0321",
    severity=_W,
    title="route of the Gateway API has no effect on the protocol",
    action="Write the routes in a VirtualService, or a TCPRoute whose parent is the Service.",
)
DESTINATION_NOT_IMPORTED = Code(
    id="AER0322",
    severity=_W,
    title="Sidecar does not import the port of a destination",
    action="Import the destination's service in an egress listener without a port, or with that "
    "port. An http route does without it until then.",
)
TOO_MANY_WILDCARD_ROUTES = Code(
    id="AER0323",
    severity=_W,
    title="too many VirtualServices name the host by a wildcard",
    action="Merge them, or name the host itself. The first ones take effect.",
)
TOO_MANY_HTTP_ENTRIES = Code(
    id="AER0324",
    severity=_W,
    title="too many http entries that the port cannot use",
    action="Put the entries for this port first, or into a VirtualService with fewer entries.",
)
MATCH_PORT_UNKNOWN = Code(
    id="AER0325",
    severity=_W,
    title="match names a port that the host does not have",
    action="Correct match.port, or remove the route.",
)
HTTP_ROUTE_ELSEWHERE = Code(
    id="AER0313",
    severity=_W,
    title="http route is for another port",
    action="Limit the route to its port with match.port.",
)

# 04xx: plugins.
GENERATOR_RAISED = Code(
    id="AER0401",
    severity=_E,
    title="plugin raised an error",
    action="Report this to the author of the plugin. The last good filters stay.",
)
GENERATOR_GARBAGE = Code(
    id="AER0402",
    severity=_E,
    title="plugin returned an invalid result",
    action="Report this to the author of the plugin. The last good filters stay.",
)
PLUGIN_INACTIVE = Code(
    id="AER0403",
    severity=_W,
    title="plugin is not active",
    action="See `aeraki plugins`. Filters that the plugin made before are kept.",
)
HOOK_RAISED = Code(
    id="AER0404",
    severity=_W,
    title="hook of a plugin raised an error",
    action="Report this to the author of the plugin. The hook's answer is ignored.",
)
SECRET_MISSING = Code(
    id="AER0405",
    severity=_E,
    title="secret or field is missing",
    action="Create the Secret with the reported field. The last good filter stays.",
)
UNHANDLED = Code(
    id="AER0406",
    severity=_E,
    title="plugin cannot read the object",
    action="Report this to the author of the plugin. "
    "The last valid version of the object stays in effect.",
)
KEPT_BY_PLUGIN = Code(
    id="AER0407",
    severity=_W,
    title="plugin keeps its last filter",
    action="See the message; the filter is made again when something that the plugin read changes.",
)
HOOK_SLOW = Code(
    id="AER0408",
    severity=_E,
    title="plugin's hook does not return",
    action="Report it to the plugin's author; "
    "the log shows where the hook is. Everything waits for it.",
)
ADD_ON_CONFLICT = Code(
    id="AER0410",
    severity=_W,
    title="add-on is left out",
    action="Remove one of the two, or limit the add-on to other protocols.",
)
ADD_ON_WITHOUT_EXTENSION = Code(
    id="AER0411",
    severity=_I,
    title="no proxy has the extension of an add-on",
    action="Name the proxies that have it with --proxy-extensions, or remove the plugin.",
)

# 05xx: writing.
WRITE_FAILED = Code(
    id="AER0501",
    severity=_E,
    title="filter could not be written",
    action="See the message. The write is retried.",
)
HELD = Code(
    id="AER0502",
    severity=_W,
    title="filter kept although nothing needs it",
    action="Fix what the message names. "
    "The filter is deleted once its service is known to be gone.",
)
ORPHAN = Code(
    id="AER0503",
    severity=_W,
    title="filter of a plugin that is not active",
    action="Install the plugin again, or delete its filters: "
    "kubectl delete envoyfilters -A -l app.kubernetes.io/managed-by=aeraki,aeraki.io/plugin=PLUGIN",
)
NOT_OURS = Code(
    id="AER0504",
    severity=_E,
    title="name is taken by a foreign object",
    action="Rename or delete the object. Aeraki never changes objects that it did not write.",
)
UNREADABLE_LIVE = Code(
    id="AER0505",
    severity=_W,
    title="live filter cannot be read",
    action="Remove the file if it is not needed. Aeraki does not change it.",
)
REFUSED = Code(
    id="AER0506",
    severity=_E,
    title="filter was rejected",
    action="Correct the configuration of the field in the message. "
    "The write is retried when it changes.",
)
WRITE_WARNING = Code(
    id="AER0507",
    severity=_W,
    title="filter was accepted with a warning",
    action="See the message: the warning of istiod or the API server.",
)
UPSTREAM_FILTER = Code(
    id="AER0508",
    severity=_W,
    title="filter of upstream Aeraki",
    action="Stop upstream Aeraki, then use --adopt-upstream to replace its filters. "
    "Delete the rest by hand.",
)
PROXY_REFUSES = Code(
    id="AER0509",
    severity=_E,
    title="proxies reject the configuration",
    action="See the log of the proxy. "
    "Usually its Envoy lacks an extension: see --proxy-extensions.",
)
OUTSIDE = Code(
    id="AER0510",
    severity=_I,
    title="filter of a service whose namespace is not watched",
    action="The filter stays. If no other controller watches the namespace, "
    "delete its filters: kubectl delete envoyfilters -A -l "
    "app.kubernetes.io/managed-by=aeraki,aeraki.io/namespace=NAMESPACE",
)
UNWRITABLE = Code(
    id="AER0511",
    severity=_E,
    title="filter cannot be written as it is",
    action="Correct the value that the message names; the filter is tried again when it changes.",
)
FILTER_TOO_LARGE = Code(
    id="AER0512",
    severity=_E,
    title="filter is too large for the API server",
    action="Give the service fewer or shorter routes; the filter is tried again when it changes.",
)
NAMESPACE_MISSING = Code(
    id="AER0513",
    severity=_W,
    title="namespace of a filter does not exist",
    action="Create the namespace, or correct exportTo; one filter tries from time to time.",
)
UNLABELLED_FILTER = Code(
    id="AER0514",
    severity=_W,
    title="filter lost the label that says whose it is",
    action="Restore the label app.kubernetes.io/managed-by: aeraki, "
    "and Aeraki manages the filter again; or delete it.",
)

CORE_CODES: tuple[Code, ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, Code)
)
"""Every code of the core, in the order of this file."""

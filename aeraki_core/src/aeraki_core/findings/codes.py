"""Every finding that the core reports, in groups of a hundred.

docs/findings.md is generated from this file.
"""

from __future__ import annotations

from aeraki_core.findings.finding import Code, Severity

_E, _W, _I = Severity.ERROR, Severity.WARNING, Severity.INFO

# 01xx: what a source read.
NOT_YAML = Code(
    "AER0101",
    _E,
    "not valid YAML or JSON",
    "Fix the syntax error on the reported line. "
    "The last valid version of the file stays in effect.",
)
NOT_AN_OBJECT = Code(
    "AER0102",
    _W,
    "not a Kubernetes object",
    "Give the document an apiVersion, a kind and a metadata.name, or move the file away.",
)
UNREADABLE = Code(
    "AER0103",
    _E,
    "file cannot be read",
    "Check that the file exists and its permissions. Its last readable version stays in effect.",
)
TOO_LARGE = Code("AER0104", _E, "file is too large", "Split the file, or raise --max-file-size.")
UNKNOWN_KIND = Code(
    "AER0105",
    _W,
    "unknown kind",
    "Correct apiVersion and kind, or install the plugin that provides the kind.",
)
UPSTREAM_KIND = Code(
    "AER0118",
    _W,
    "kind of upstream Aeraki that is not read",
    "Write what the message says. docs/comparison.md has a counterpart for each field.",
)
REJECTED = Code(
    "AER0106",
    _E,
    "object does not match its schema",
    "Correct the field. The last valid version of the object stays in effect.",
)
DUPLICATE = Code(
    "AER0107", _W, "duplicate object", "Remove one of the two. The first in file order is used."
)
SYMLINK_LOOP = Code(
    "AER0108", _W, "symbolic link loop", "Remove the link. The folder is read once."
)
EMPTY = Code(
    "AER0109",
    _I,
    "file contains no object",
    "Remove the file if it is not needed.",
)
BAD_NAME = Code(
    "AER0110",
    _E,
    "invalid name",
    "Use lower-case letters, digits, '-' and '.', at most 253 characters (Kubernetes names).",
)
BAD_OPTION = Code(
    "AER0111", _W, "invalid option", "Correct the annotation. The default is used until then."
)
UNKNOWN_OPTION = Code(
    "AER0112",
    _W,
    "unknown option",
    "Correct the name of the annotation. `aeraki plugins NAME` lists the options.",
)
KIND_NOT_SERVED = Code(
    "AER0113",
    _W,
    "cluster does not serve the kind",
    "Apply its CRD (`aeraki crds` prints those of the plugins). "
    "Objects that were read before stay in effect.",
)
NOT_READ = Code(
    "AER0114",
    _W,
    "objects cannot be read from the cluster",
    "Check that the API server answers, "
    "and that the ServiceAccount has the rights that `aeraki rbac` prints.",
)
ISTIOD_NOT_READ = Code(
    "AER0115",
    _W,
    "configuration cannot be read from istiod",
    "Check that istiod runs, its address and certificate, and the ServiceAccount's token. Report "
    "an answer in an unknown form as an issue. Configuration that was read before stays in effect.",
)
SECRET_NOT_RELEASED = Code(
    "AER0117",
    _W,
    "Secret is not for Aeraki to read",
    'Set the label `aeraki.io/secret: "true"` on the Secret, or use one of type Opaque or '
    "kubernetes.io/basic-auth. What was read before is forgotten.",
)
NOT_KUBERNETES = Code(
    "AER0116",
    _I,
    "file is not a Kubernetes manifest",
    "Exclude the file with --exclude or .gitignore, or ignore this code. Nothing of it is used.",
)

# 02xx: ports, addresses and workloads.
LISTENER_TAKEN = Code(
    "AER0201",
    _W,
    "two services claim one address and port",
    "Change the address or port of one of them. The older service keeps the listener.",
)
NO_LISTENER = Code(
    "AER0202",
    _W,
    "service has no listener",
    "Give the service an address or, if it is headless, endpoints.",
)
UNRESOLVED_TARGET_PORT = Code(
    "AER0203",
    _W,
    "unknown named target port",
    "Add the EndpointSlices of the service, or use a number as targetPort.",
)
INBOUND_TAKEN = Code(
    "AER0204",
    _W,
    "two services configure one port of a workload differently",
    "Use the same protocol and options for both ports. The older service takes effect.",
)
MISSING_EXTENSION = Code(
    "AER0205",
    _W,
    "proxies lack the Envoy extension",
    "Use a proxy image with the extension, then list it in --proxy-extensions.",
)
HEADLESS_ROUTES = Code(
    "AER0206",
    _W,
    "routes have no effect on this service",
    "Give the service a cluster IP (ServiceEntry: "
    "a resolution other than NONE), or remove the routes.",
)
SHARED_CIDR = Code(
    "AER0207",
    _W,
    "services with address ranges share a port",
    "Use a different port for each service. Until then none of them gets a filter.",
)
NO_ADDRESS = Code(
    "AER0209",
    _W,
    "service has no cluster IP yet",
    "Render from the objects in the cluster, or set spec.clusterIP. A filter needs the address.",
)
INBOUND_OVERLAP = Code(
    "AER0210",
    _W,
    "overlapping selectors configure one port differently",
    "Use the same protocol and options for both ports, "
    "or add a label so that the selectors do not overlap.",
)
STAND_IN_ADDRESS = Code(
    "AER0230",
    _I,
    "stand-in address for a service without cluster IP",
    "Nothing to do for a check. For filters that work, take the address from the cluster with"
    " --use-cluster.",
)

PORT_MISNAMED = Code(
    "AER0211",
    _W,
    "port name or appProtocol is close to a known protocol",
    "Correct the name; until then Istio treats the port as plain TCP.",
)
PORT_WITHOUT_PREFIX = Code(
    "AER0212",
    _I,
    "port name lacks the prefix tcp-",
    "Name the port tcp-<protocol>, or set its appProtocol, to have filters for it.",
)
PLUGIN_NOT_ACTIVE = Code(
    "AER0213",
    _W,
    "plugin of the port's protocol is not active",
    "See `aeraki plugins`; filters that the plugin made are kept.",
)
OPTION_WITHOUT_PORT = Code(
    "AER0214",
    _W,
    "option of a protocol that no port speaks",
    "Name the port tcp-<protocol>, set its appProtocol, or remove the annotation.",
)
LOST_PROTOCOL = Code(
    "AER0215",
    _W,
    "port lost its protocol, and its filters are removed",
    "Correct the port's name or appProtocol, unless the change was meant. "
    "This is reported until the service changes again.",
)
PORT_NOT_SPOKEN = Code(
    "AER0216",
    _I,
    "ports of a protocol that no active plugin speaks",
    "Install or enable the plugin of the protocol, if there is one; "
    "until then Istio treats the ports as plain TCP.",
)
HOST_TAKEN = Code(
    "AER0218",
    _W,
    "host belongs to another service",
    "Use a host of your own. The object takes effect for clients in its own namespace only.",
)
ROOT_EXPORT = Code(
    "AER0219",
    _W,
    "exported to the root namespace",
    "Remove the root namespace from exportTo, or export the service to all namespaces.",
)
TOO_MANY_VIEWS = Code(
    "AER0220",
    _W,
    "too many client namespaces with settings of their own",
    "Use fewer VirtualServices, DestinationRules and resources of single namespaces for the host.",
)
CLUSTER_SHARED = Code(
    "AER0221",
    _W,
    "cluster settings reach clients with other rules",
    "Remove the DestinationRule or resource in the named namespaces, "
    "or make it equal to the others.",
)
SIDECAR_LISTENER = Code(
    "AER0222",
    _W,
    "Sidecar has a listener of its own for the port",
    "Remove bind and captureMode NONE from the Sidecar's egress listener, "
    "if its clients need the protocol.",
)
FOREIGN_FILTER = Code(
    "AER0223",
    _W,
    "EnvoyFilter of somebody else changes the same place",
    "Change it as the message says, or leave the port to it with the annotation aeraki.io/exclude.",
)
HASH_UNUSED = Code(
    "AER0224",
    _W,
    "consistentHash has no effect on the protocol",
    "Remove it, or use another load balancer: calls are spread as if no key was given.",
)
RULE_OF_SOME_WORKLOADS = Code(
    "AER0225",
    _W,
    "DestinationRule of some workloads is not looked at",
    "Give the rule the subsets that routes use, or remove its workloadSelector.",
)
EXTERNAL_NAME = Code(
    "AER0226",
    _W,
    "ExternalName Service has no listener",
    "Name the port at the Service or ServiceEntry of the host that the name stands for.",
)
FOREIGN_CLUSTER = Code(
    "AER0217",
    _E,
    "plugin changes a cluster of another service",
    "Report this to the author of the plugin; the last good filter stays until then.",
)

# 03xx: routes.
UNKNOWN_HOST = Code(
    "AER0301",
    _W,
    "host is not in the mesh",
    "Correct the host, or add its Service or ServiceEntry.",
)
UNKNOWN_SUBSET = Code(
    "AER0302",
    _E,
    "unknown subset",
    "Add the subset to the DestinationRule, or correct its name. "
    "Calls on this route fail until then.",
)
UNKNOWN_PORT = Code(
    "AER0303", _E, "ambiguous destination port", "Set the destination's port.number."
)
WEIGHTS = Code(
    "AER0304",
    _E,
    "invalid weights",
    "Set a weight on each destination, at least one above 0.",
)
CLIENT_MATCH = Code(
    "AER0305",
    _W,
    "unsupported match on the client",
    "Remove sourceLabels, sourceNamespace or gateways from the match; the route is left out.",
)
UNSUPPORTED_MATCH = Code(
    "AER0306",
    _W,
    "unsupported match",
    "Correct or remove the field. "
    "The route is ignored, because without the field it would match more calls.",
)
UNSUPPORTED_FIELD = Code(
    "AER0307",
    _W,
    "unsupported field",
    "Remove the field. The rest of the route takes effect.",
)
NO_DESTINATION = Code(
    "AER0308", _E, "route has no destination", "Add a destination. The route is ignored until then."
)
BAD_REGEX = Code(
    "AER0309",
    _E,
    "invalid regular expression",
    "Correct the expression: RE2 syntax, without look-around and back-references. "
    "The route is ignored until then.",
)
SHADOWED = Code(
    "AER0310",
    _W,
    "an older object takes precedence for the host",
    "Merge the two objects. The older one is used.",
)
TLS_ROUTES = Code(
    "AER0311", _W, "tls routes have no effect", "Use the http section for this protocol's routes."
)
NO_ROUTE_LEFT = Code(
    "AER0312",
    _E,
    "no route can be used",
    "Write routes that the protocol can match on; until then calls go where Istio sends them.",
)
METHOD_ROUTES_UNUSED = Code(
    "AER0314",
    _W,
    "routes by method for ports that nobody speaks",
    "Name the port tcp-<protocol>, or set its appProtocol.",
)
GATEWAY_ROUTES = Code(
    "AER0315",
    _I,
    "routes of a gateway do not apply to the protocol",
    "Bind the VirtualService to mesh for routes in sidecars; at gateways use tcp routes.",
)
HTTP_ROUTE_ELSEWHERE = Code(
    "AER0313",
    _W,
    "http route is for another port",
    "Limit the route to its port with match.port.",
)

# 04xx: plugins.
GENERATOR_RAISED = Code(
    "AER0401",
    _E,
    "plugin raised an error",
    "Report this to the author of the plugin. The last good filters stay.",
)
GENERATOR_GARBAGE = Code(
    "AER0402",
    _E,
    "plugin returned an invalid result",
    "Report this to the author of the plugin. The last good filters stay.",
)
PLUGIN_INACTIVE = Code(
    "AER0403",
    _W,
    "plugin is not active",
    "See `aeraki plugins`. Filters that the plugin made before are kept.",
)
HOOK_RAISED = Code(
    "AER0404",
    _W,
    "hook of a plugin raised an error",
    "Report this to the author of the plugin. The hook's answer is ignored.",
)
SECRET_MISSING = Code(
    "AER0405",
    _E,
    "secret or field is missing",
    "Create the Secret with the reported field. The last good filter stays.",
)
UNHANDLED = Code(
    "AER0406",
    _E,
    "plugin cannot read the object",
    "Report this to the author of the plugin. "
    "The last valid version of the object stays in effect.",
)
KEPT_BY_PLUGIN = Code(
    "AER0407",
    _W,
    "plugin keeps its last filter",
    "See the message; the filter is made again when something that the plugin read changes.",
)
HOOK_SLOW = Code(
    "AER0408",
    _E,
    "plugin's hook does not return",
    "Report it to the plugin's author; the log shows where the hook is. Everything waits for it.",
)
ADD_ON_CONFLICT = Code(
    "AER0410",
    _W,
    "add-on is left out",
    "Remove one of the two, or limit the add-on to other protocols.",
)

# 05xx: writing.
WRITE_FAILED = Code(
    "AER0501", _E, "filter could not be written", "See the message. The write is retried."
)
HELD = Code(
    "AER0502",
    _W,
    "filter kept although nothing needs it",
    "Fix what the message names. The filter is deleted once its service is known to be gone.",
)
ORPHAN = Code(
    "AER0503",
    _W,
    "filter of a plugin that is not active",
    "Install the plugin again, or delete its filters: "
    "kubectl delete envoyfilters -A -l app.kubernetes.io/managed-by=aeraki,aeraki.io/plugin=PLUGIN",
)
NOT_OURS = Code(
    "AER0504",
    _E,
    "name is taken by a foreign object",
    "Rename or delete the object. Aeraki never changes objects that it did not write.",
)
UNREADABLE_LIVE = Code(
    "AER0505",
    _W,
    "live filter cannot be read",
    "Remove the file if it is not needed. Aeraki does not change it.",
)
REFUSED = Code(
    "AER0506",
    _E,
    "filter was rejected",
    "Correct the configuration of the field in the message. The write is retried when it changes.",
)
WRITE_WARNING = Code(
    "AER0507",
    _W,
    "filter was accepted with a warning",
    "See the message: the warning of istiod or the API server.",
)
UPSTREAM_FILTER = Code(
    "AER0508",
    _W,
    "filter of upstream Aeraki",
    "Stop upstream Aeraki, then use --adopt-upstream to replace its filters. "
    "Delete the rest by hand.",
)
PROXY_REFUSES = Code(
    "AER0509",
    _E,
    "proxies reject the configuration",
    "See the log of the proxy. Usually its Envoy lacks an extension: see --proxy-extensions.",
)
OUTSIDE = Code(
    "AER0510",
    _I,
    "filter of a service whose namespace is not watched",
    "The filter stays. If no other controller watches the namespace, delete its filters: kubectl "
    "delete envoyfilters -A -l app.kubernetes.io/managed-by=aeraki,aeraki.io/namespace=NAMESPACE",
)
UNWRITABLE = Code(
    "AER0511",
    _E,
    "filter cannot be written as it is",
    "Correct the value that the message names; the filter is tried again when it changes.",
)
FILTER_TOO_LARGE = Code(
    "AER0512",
    _E,
    "filter is too large for the API server",
    "Give the service fewer or shorter routes; the filter is tried again when it changes.",
)
NAMESPACE_MISSING = Code(
    "AER0513",
    _W,
    "namespace of a filter does not exist",
    "Create the namespace, or correct exportTo; one filter tries from time to time.",
)
UNLABELLED_FILTER = Code(
    "AER0514",
    _W,
    "filter lost the label that says whose it is",
    "Restore the label app.kubernetes.io/managed-by: aeraki, "
    "and Aeraki manages the filter again; or delete it.",
)

CORE_CODES: tuple[Code, ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, Code)
)
"""Every code of the core, in the order of this file."""

"""Every finding that the core reports, in groups of a hundred. docs/findings.md is generated from this file."""

from __future__ import annotations

from aeraki_core.findings.finding import Code, Severity

_E, _W, _I = Severity.ERROR, Severity.WARNING, Severity.INFO

# 01xx: what a source read.
NOT_YAML = Code(
    "AER0101",
    _E,
    "not valid YAML or JSON",
    "Mend the syntax at the line named; what the file said before stays in force.",
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
    "Check that the file exists and may be read; what it said before stays in force.",
)
TOO_LARGE = Code("AER0104", _E, "file is too large", "Split the file, or raise --max-file-size.")
UNKNOWN_KIND = Code(
    "AER0105",
    _W,
    "unknown kind",
    "Correct apiVersion and kind, or install the plugin that brings the kind.",
)
REJECTED = Code(
    "AER0106",
    _E,
    "object does not fit its kind",
    "Correct the field; the object's last good form stays in force.",
)
DUPLICATE = Code(
    "AER0107", _W, "object given twice", "Keep one of the two; the first in file order is used."
)
SYMLINK_LOOP = Code(
    "AER0108", _W, "symbolic link leads back to itself", "Remove the link; the folder is read once."
)
EMPTY = Code(
    "AER0109",
    _I,
    "file holds no object",
    "Nothing needs to be done; remove the file if it is not meant to be there.",
)
BAD_NAME = Code(
    "AER0110",
    _E,
    "invalid name",
    "Use lower-case letters, digits, '-' and '.', at most 253 characters (Kubernetes names).",
)
BAD_OPTION = Code(
    "AER0111", _W, "invalid option", "Correct the annotation; the option's default is used."
)
UNKNOWN_OPTION = Code(
    "AER0112",
    _W,
    "unknown option",
    "Correct the annotation's name; `aeraki plugins NAME` lists the options.",
)
KIND_NOT_SERVED = Code(
    "AER0113",
    _W,
    "cluster does not serve the kind",
    "Apply its CRD (`aeraki crds` prints the plugins'); what was known of its objects stays in force.",
)
NOT_READ = Code(
    "AER0114",
    _W,
    "objects cannot be read from the cluster",
    "See the message: the API server does not answer, or the ServiceAccount lacks a right that `aeraki rbac` prints.",
)
ISTIOD_NOT_READ = Code(
    "AER0115",
    _W,
    "istiod gives no configuration, or some that cannot be read",
    "See the message: istiod's address, its certificate, or the ServiceAccount's token is wrong, it does not run, or its answer "
    "is of an unknown form (say so in an issue); what was known stays in force.",
)

# 02xx: ports, addresses and workloads.
LISTENER_TAKEN = Code(
    "AER0201",
    _W,
    "two services claim one address and port",
    "Give one of them another address or port; the older keeps it.",
)
NO_LISTENER = Code(
    "AER0202",
    _W,
    "service has no listener to patch",
    "Give the service an address, or endpoints if it is headless.",
)
UNRESOLVED_TARGET_PORT = Code(
    "AER0203",
    _W,
    "named target port is not known",
    "Give the EndpointSlices of the service too, or use a number as targetPort.",
)
INBOUND_TAKEN = Code(
    "AER0204",
    _W,
    "two services differ about one workload's port",
    "Give both ports the same protocol and options; the older service decides.",
)
MISSING_EXTENSION = Code(
    "AER0205",
    _W,
    "proxies lack the Envoy extension",
    "Use a proxy image that has it, then name it in --proxy-extensions.",
)
HEADLESS_ROUTES = Code(
    "AER0206",
    _W,
    "routes have no effect on a service without load balancing",
    "Give the service a cluster IP (ServiceEntry: another resolution than NONE), or remove the routes.",
)
SHARED_CIDR = Code(
    "AER0207",
    _W,
    "services with address ranges share a port",
    "Give each service its own port; until then none of them gets the filter.",
)
NO_SELECTOR = Code(
    "AER0208",
    _I,
    "no workload selector, so no inbound filter",
    "Add a selector, or the workloadSelector annotation, if the workload has a sidecar.",
)
NO_ADDRESS = Code(
    "AER0209",
    _W,
    "service has no cluster IP yet",
    "Render from the cluster's own objects, or set spec.clusterIP; a filter needs the address.",
)
INBOUND_OVERLAP = Code(
    "AER0210",
    _W,
    "two selectors share workloads and differ about a port",
    "Give both ports the same protocol and options, or selectors that select no workload both, such as by one label more.",
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
    "subset is not in the DestinationRule",
    "Add the subset to the DestinationRule, or correct its name; calls on this route fail until then.",
)
UNKNOWN_PORT = Code(
    "AER0303", _E, "destination port cannot be told", "Name the destination's port.number."
)
WEIGHTS = Code(
    "AER0304",
    _E,
    "weights make no sense",
    "Give each of several destinations a weight, at least one above 0.",
)
CLIENT_MATCH = Code(
    "AER0305",
    _W,
    "match on the client cannot be told in one filter",
    "Remove sourceLabels, sourceNamespace or gateways from the match; the route is left out.",
)
UNSUPPORTED_MATCH = Code(
    "AER0306",
    _W,
    "protocol cannot match on this field",
    "Remove the field; the route is left out so that it does not take more than was meant.",
)
UNSUPPORTED_FIELD = Code(
    "AER0307",
    _W,
    "protocol's filter cannot do this",
    "Remove the field; the rest of the route is in force.",
)
NO_DESTINATION = Code(
    "AER0308", _E, "route has no destination", "Give the route a destination; it is left out."
)
BAD_REGEX = Code(
    "AER0309",
    _E,
    "regular expression is not valid RE2",
    "Correct the expression (RE2 syntax, no look-around or back-references); the route is left out.",
)
SHADOWED = Code(
    "AER0310",
    _W,
    "an older object already speaks for the host",
    "Merge the two; the older is used.",
)
TLS_ROUTES = Code(
    "AER0311", _W, "tls routes do not apply", "Use the http section for this protocol's routes."
)
NO_ROUTE_LEFT = Code(
    "AER0312",
    _E,
    "no route can be used",
    "Write routes that the protocol can match on; until then calls go where Istio sends them.",
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
    "Report it to the plugin's author; the last good filters stay.",
)
GENERATOR_GARBAGE = Code(
    "AER0402",
    _E,
    "plugin returned something unusable",
    "Report it to the plugin's author; the last good filters stay.",
)
PLUGIN_INACTIVE = Code(
    "AER0403", _W, "plugin is not active", "See `aeraki plugins`; filters it made before are kept."
)
HOOK_RAISED = Code(
    "AER0404",
    _W,
    "plugin's hook raised an error",
    "Report it to the plugin's author; its answer is left out.",
)
SECRET_MISSING = Code(
    "AER0405",
    _E,
    "secret or field is missing",
    "Create the Secret with the field named; the last good filter stays.",
)
UNHANDLED = Code(
    "AER0406",
    _E,
    "plugin cannot read the object",
    "Report it to the plugin's author; the object's last valid form stays in effect.",
)

# 05xx: writing.
WRITE_FAILED = Code(
    "AER0501", _E, "filter could not be written", "See the message; it is tried again."
)
HELD = Code(
    "AER0502",
    _W,
    "filter kept although nothing makes it now",
    "Mend what the reason names; it is removed when its service is known to be gone.",
)
ORPHAN = Code(
    "AER0503",
    _W,
    "filter of a plugin that is not active",
    "Install the plugin again; or remove its filters: "
    "kubectl delete envoyfilters -A -l app.kubernetes.io/managed-by=aeraki,aeraki.io/plugin=PLUGIN",
)
NOT_OURS = Code(
    "AER0504",
    _E,
    "an object of this name is not ours",
    "Rename or remove it; Aeraki never touches what it did not write.",
)
UNREADABLE_LIVE = Code(
    "AER0505",
    _W,
    "live filter cannot be read",
    "Remove the file if it is not meant to be there; it is left alone.",
)
REFUSED = Code(
    "AER0506",
    _E,
    "filter was refused",
    "The message names the field; correct what the filter is made of. It is tried again when that changes.",
)
WRITE_WARNING = Code(
    "AER0507",
    _W,
    "filter was accepted with a warning",
    "The message says what istiod or the API server warns of.",
)
UPSTREAM_FILTER = Code(
    "AER0508",
    _W,
    "filter of upstream Aeraki",
    "Stop upstream Aeraki; then --adopt-upstream replaces its filters where ours are live. Delete the rest by hand.",
)
PROXY_REFUSES = Code(
    "AER0509",
    _E,
    "proxies refuse the configuration",
    "The proxy's log says why; most often its Envoy lacks an extension: see --proxy-extensions.",
)
OUTSIDE = Code(
    "AER0510",
    _I,
    "filter of a service whose namespace is not watched",
    "It stays. If no other controller watches the namespace, remove its filters: "
    "kubectl delete envoyfilters -A -l app.kubernetes.io/managed-by=aeraki,aeraki.io/namespace=NAMESPACE",
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

CORE_CODES: tuple[Code, ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, Code)
)
"""Every code of the core, in the order of this file."""

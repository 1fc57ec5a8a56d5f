from aeraki_core.filters.patch import (
    Inbound as Inbound,
)
from aeraki_core.filters.patch import (
    Outbound as Outbound,
)
from aeraki_core.filters.patch import (
    Patch as Patch,
)
from aeraki_core.filters.patch import (
    Side as Side,
)
from aeraki_core.filters.patch import (
    pack as pack,
)
from aeraki_core.findings.finding import (
    Code as Code,
)
from aeraki_core.findings.finding import (
    Finding as Finding,
)
from aeraki_core.findings.finding import (
    Severity as Severity,
)
from aeraki_core.mesh.routes import (
    Mirror as Mirror,
)
from aeraki_core.mesh.routes import (
    Route as Route,
)
from aeraki_core.mesh.routes import (
    RouteMatch as RouteMatch,
)
from aeraki_core.mesh.routes import (
    WeightedCluster as WeightedCluster,
)
from aeraki_core.mesh.routes import (
    cluster_name as cluster_name,
)
from aeraki_core.model.duration import parse_duration as parse_duration
from aeraki_core.model.istio import (
    DestinationRule as DestinationRule,
)
from aeraki_core.model.istio import (
    StringMatch as StringMatch,
)
from aeraki_core.model.istio import (
    VirtualService as VirtualService,
)
from aeraki_core.model.mesh import Mesh as Mesh
from aeraki_core.model.meta import ObjectRef as ObjectRef
from aeraki_core.model.resource import (
    Kind as Kind,
)
from aeraki_core.model.resource import (
    Resource as Resource,
)
from aeraki_core.model.secret import Secret as Secret
from aeraki_core.model.service import (
    Port as Port,
)
from aeraki_core.model.service import (
    Service as Service,
)
from aeraki_core.model.spec import (
    Duration as Duration,
)
from aeraki_core.model.spec import (
    Percentage as Percentage,
)
from aeraki_core.model.spec import (
    PositiveDuration as PositiveDuration,
)
from aeraki_core.model.spec import (
    SpecModel as SpecModel,
)
from aeraki_core.model.spec import (
    duration_message as duration_message,
)
from aeraki_core.plugins.context import (
    GenerateContext as GenerateContext,
)
from aeraki_core.plugins.context import (
    KeepLastGood as KeepLastGood,
)
from aeraki_core.plugins.hookspec import hookimpl as hookimpl
from aeraki_core.plugins.matchers import (
    header_matchers as header_matchers,
)
from aeraki_core.plugins.matchers import (
    matches_any as matches_any,
)
from aeraki_core.plugins.matchers import (
    set_clusters as set_clusters,
)
from aeraki_core.plugins.matchers import (
    string_matcher as string_matcher,
)
from aeraki_core.plugins.types import (
    Extension as Extension,
)
from aeraki_core.plugins.types import (
    Option as Option,
)
from aeraki_core.plugins.types import (
    OptionType as OptionType,
)
from aeraki_core.plugins.types import (
    Protocol as Protocol,
)
from aeraki_core.plugins.validate import ValidateContext as ValidateContext

__all__: list[str]

"""Which value of a setting counts, where it comes from, and the error when it does not fit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from aeraki_core.errors import SettingsError
from aeraki_core.model.mesh import ProxyFamily, ProxyRule
from aeraki_core.settings import SETTINGS, LogLevels, Settings, forms, resolve, setting_of
from aeraki_core.settings.forms import Form


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "aeraki.yaml"


def test_without_anything_every_setting_has_its_default() -> None:
    settings = resolve()
    assert settings == Settings()
    assert {str(settings.origin(item.name)) for item in SETTINGS} == {"default"}


def test_flag_goes_before_environment_before_file_before_default(file: Path) -> None:
    file.write_text("rootNamespace: from-file\n")
    environment = {"AERAKI_ROOT_NAMESPACE": "from-env"}
    flags = {"root_namespace": ("from-flag",)}
    for given, wanted, origin in (
        ((flags, environment, file), "from-flag", "flag --root-namespace"),
        ((None, environment, file), "from-env", "environment AERAKI_ROOT_NAMESPACE"),
        ((None, None, file), "from-file", f"file {file}:1"),
        ((None, None, None), "istio-system", "default"),
    ):
        settings = resolve(*given)
        assert settings.root_namespace == wanted
        assert str(settings.origin("root_namespace")) == origin


def test_the_environment_names_the_file_and_a_flag_goes_before_it(
    file: Path, tmp_path: Path
) -> None:
    file.write_text("domain: one.example\n")
    other = tmp_path / "other.yaml"
    other.write_text("domain: two.example\n")
    assert resolve(environment={"AERAKI_CONFIG": str(file)}).domain == "one.example"
    assert resolve(environment={"AERAKI_CONFIG": str(file)}, file=other).domain == "two.example"


def test_an_empty_variable_counts_as_none() -> None:
    assert resolve(environment={"AERAKI_ROOT_NAMESPACE": ""}).root_namespace == "istio-system"


@pytest.mark.parametrize(
    ("variable", "value", "name"),
    [
        ("AERAKI_NAMESPACE", "istio-config", "root_namespace"),
        ("AERAKI_ISTIOD_ADDR", "istiod.example:15010", "istiod_address"),
    ],
)
def test_upstreams_variables_count(variable: str, value: str, name: str) -> None:
    settings = resolve(environment={variable: value})
    assert getattr(settings, name) == value
    assert str(settings.origin(name)) == f"environment {variable}"


def test_our_own_variable_goes_before_upstreams() -> None:
    assert (
        resolve(environment={"AERAKI_NAMESPACE": "a", "AERAKI_ROOT_NAMESPACE": "b"}).root_namespace
        == "b"
    )


def test_the_mesh_is_as_it_was_said(file: Path) -> None:
    file.write_text(
        """\
rootNamespace: istio-config
domain: mesh.example
filterNamespaces: [".", shared]
registryOnly: true
proxyFamilies: [ipv6, dual]
proxyExtensions:
  - envoy.filters.network.one
  - orders/app=a,tier=b:envoy.filters.network.two
  - {extension: envoy.filters.network.three, namespace: shop}
  - extensions: [envoy.filters.network.four, envoy.filters.network.five]
    namespace: shop
    labels: {app: web}
"""
    )
    mesh = resolve(file=file).mesh()
    assert (mesh.root_namespace, mesh.domain, mesh.registry_only) == (
        "istio-config",
        "mesh.example",
        True,
    )
    assert mesh.namespaces == (".", "shared")
    assert mesh.proxy_families == (ProxyFamily.IPV6, ProxyFamily.DUAL)
    web = (("app", "web"),)
    assert mesh.proxy_rules == (
        ProxyRule("envoy.filters.network.one"),
        ProxyRule("envoy.filters.network.two", "orders", (("app", "a"), ("tier", "b"))),
        ProxyRule("envoy.filters.network.three", "shop"),
        ProxyRule("envoy.filters.network.four", "shop", web),
        ProxyRule("envoy.filters.network.five", "shop", web),
    )


def test_a_repeated_flag_adds_up_and_a_variable_holds_several_rules() -> None:
    one, two = "envoy.filters.network.one", "shop/app=a,tier=b:envoy.filters.network.two"
    wanted = (
        ProxyRule(one),
        ProxyRule("envoy.filters.network.two", "shop", (("app", "a"), ("tier", "b"))),
    )
    assert resolve({"proxy_extensions": (one, two)}).proxy_extensions == wanted
    assert (
        resolve(environment={"AERAKI_PROXY_EXTENSIONS": f"{one} {two}"}).proxy_extensions == wanted
    )
    assert resolve({"filter_namespaces": ("a,b", "c")}).filter_namespaces == ("a", "b", "c")


def test_several_paths_in_a_variable() -> None:
    assert resolve(environment={"AERAKI_PATHS": "/one:/two"}).paths == ("/one", "/two")


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("debug", LogLevels("debug")),
        ("all:debug", LogLevels("debug")),
        ("default:warn", LogLevels("warning")),
        ("pipeline:debug", LogLevels(None, (("pipeline", "debug"),))),
        (
            "error,pipeline:debug,echo:none",
            LogLevels("error", (("pipeline", "debug"), ("echo", "none"))),
        ),
    ],
)
def test_log_levels_also_as_upstream_writes_them(text: str, levels: LogLevels) -> None:
    assert resolve({"log_level": (text,)}).log_level == levels


def test_log_levels_in_the_file_may_be_a_mapping(file: Path) -> None:
    file.write_text("logLevel: {all: error, pipeline: debug}\n")
    assert resolve(file=file).log_level == LogLevels("error", (("pipeline", "debug"),))


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("domain: a.example\nrotNamespace: x\n", 2, "did you mean rootNamespace?"),
        ("\n\nwhatever: 1\n", 3, "no setting 'whatever'; `aeraki config` lists all"),
        ("rootNamespace: Not_Valid\n", 1, "rootNamespace: 'Not_Valid' is not a namespace's name"),
        ("rootNamespace: 5\n", 1, "write a text"),
        ("registryOnly: maybe\n", 1, "write true or false"),
        ("arrangement: each\n", 1, "'each' is none of auto, service, namespace, imports"),
        ("proxyFamilies: [IPv4]\n", 1, "'IPv4' is none of ipv4, ipv6, dual"),
        ("logLevel: loud\n", 1, "'loud' is no level"),
        ("debounceQuiet: soon\n", 1, "is not a duration"),
        ("maxFileSize: -1\n", 1, "is not a size"),
        ("maxFileSize: 0\n", 1, "is not a size"),
        ("proxyExtensions:\n  - {name: x}\n", 1, "'name' is none of"),
        (
            "proxyExtensions:\n  - {extension: x, labels: {a: b}}\n",
            1,
            "`labels` need a `namespace`",
        ),
        ("filterNamespaces: [1]\n", 1, "write a list of texts"),
        ("domain: a.b\ndomain: c.d\n", 2, "key 'domain' is given twice"),
        ("domain: [\n", 1, "not valid YAML"),
        ("- a\n", 1, "write settings as `key: value`"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_line(
    file: Path, content: str, line: int, words: str
) -> None:
    file.write_text(content)
    with pytest.raises(
        SettingsError, match=re.escape(f"{file}:{line}: ") + ".*" + re.escape(words)
    ):
        resolve(file=file)


def test_a_file_that_is_not_there_is_named(file: Path) -> None:
    with pytest.raises(
        SettingsError,
        match=f"{re.escape(str(file))}: the settings file cannot be read: No such file",
    ):
        resolve(file=file)


def test_an_empty_file_says_nothing(file: Path) -> None:
    file.write_text("# nothing\n")
    assert resolve(file=file).domain == "cluster.local"


@pytest.mark.parametrize(
    ("flags", "environment", "words"),
    [
        ({"root_namespace": ("A B",)}, {}, "--root-namespace: 'A B' is not"),
        ({}, {"AERAKI_REGISTRY_ONLY": "yes"}, "AERAKI_REGISTRY_ONLY: 'yes' is not true or false"),
        ({"source": ("disk",)}, {}, "--source: 'disk' is none of kubernetes, istiod, files"),
        (
            {"no_plugins": ("true",), "plugins": ("echo",)},
            {},
            "flag --no-plugins.*flag --plugins.*exclude",
        ),
        ({"debounce_quiet": ("20s",)}, {}, "debounceQuiet.*longer than debounceMax, 10s"),
    ],
)
def test_a_mistake_names_the_flag_or_variable(
    flags: dict[str, tuple[str, ...]], environment: dict[str, str], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        resolve(flags, environment)


def test_which_plugins_are_wanted() -> None:
    assert resolve().wanted_plugins() is None
    assert resolve({"plugins": ("a,b",)}).wanted_plugins() == ("a", "b")
    assert resolve({"no_plugins": ("true",)}).wanted_plugins() == ()


@pytest.mark.parametrize(
    ("form", "text", "value"),
    [
        (forms.DURATION, "200ms", 0.2),
        (forms.DURATION, "1m", 60.0),
        (forms.SIZE, "10MiB", 10 * 2**20),
        (forms.SIZE, "500kB", 500_000),
        (forms.SIZE, "12", 12),
        (forms.SWITCH, "True", True),
        (forms.NAMESPACES, "a, b,a", ("a", "b")),
    ],
)
def test_forms(form: Form[object], text: str, value: object) -> None:
    assert form.parse((text,)) == value
    assert form.parse((form.show(value),)) == value


def test_a_size_in_the_file_may_be_a_number() -> None:
    assert forms.SIZE.load(4096) == 4096
    with pytest.raises(ValueError, match="write a text"):
        forms.SIZE.load(True)


def test_what_is_shown_can_be_given_again() -> None:
    rules = (ProxyRule("x.y"), ProxyRule("x.z", "ns", (("a", "b"),)), ProxyRule("x.w", "ns"))
    assert forms.PROXY_RULES.parse((forms.PROXY_RULES.show(rules),)) == rules
    levels = LogLevels("error", (("pipeline", "debug"),))
    assert forms.LOG_LEVELS.parse((forms.LOG_LEVELS.show(levels),)) == levels


def test_no_two_settings_share_a_flag_a_variable_or_a_key() -> None:
    for names in (
        [flag for item in SETTINGS for flag in item.flags],
        [name for item in SETTINGS for name in (item.env, *item.old_env)],
        [item.key for item in SETTINGS],
    ):
        assert len(names) == len(set(names))


class TestNamespaces:
    def test_selectors_by_flag_variable_and_file(self, file: Path) -> None:
        wanted = ["env=prod,team!=x", "env in (test,dev)"]
        file.write_text(
            """\
watchNamespaceSelector:
  - env=prod,team!=x
  - matchExpressions: [{key: env, operator: In, values: [test, dev]}]
"""
        )
        for settings in (
            resolve({"watch_namespace_selector": tuple(wanted)}),
            resolve(environment={"AERAKI_WATCH_NAMESPACE_SELECTOR": "; ".join(wanted)}),
            resolve(file=file),
        ):
            assert [str(item) for item in settings.watch_namespace_selector] == wanted
            text = setting_of("watch_namespace_selector").text(settings.watch_namespace_selector)
            assert forms.SELECTORS.parse((text,)) == settings.watch_namespace_selector

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ("watchNamespaceSelector: env in prod\n", "'env in prod' is none of"),
            ("watchNamespaceSelector: [{matchLabel: {a: b}}]\n", "'matchLabel' is none of"),
            ("watchNamespaceSelector: [5]\n", "write each entry as a text or as"),
            ("watchNamespaceSelector: ['']\n", "the selector is empty"),
            ("instance: Blue_\n", "'Blue_' is not of at most 40 lower-case letters"),
        ],
    )
    def test_what_does_not_fit_is_said_with_its_line(
        self, file: Path, content: str, words: str
    ) -> None:
        file.write_text(content)
        with pytest.raises(SettingsError, match=re.escape(words)) as found:
            resolve(file=file)
        assert str(found.value).startswith(f"{file}:1: ")

    def test_by_name_and_by_label_exclude_each_other(self) -> None:
        with pytest.raises(SettingsError, match="exclude each other"):
            resolve({"watch_namespaces": ("a",), "watch_namespace_selector": ("env=prod",)})


class TestTheLease:
    def test_controllers_that_do_different_things_do_not_stand_by_for_each_other(self) -> None:
        names = [
            resolve(flags).lease_name()
            for flags in (
                {},
                {"instance": ("blue",)},
                {"instance": ("green",)},
                {"watch_namespaces": ("a",)},
                {"watch_namespaces": ("b",)},
                {"watch_namespace_selector": ("env=prod",)},
            )
        ]
        assert len(set(names)) == len(names)
        assert names[:2] == ["aeraki-controller", "aeraki-controller-blue"]

    def test_replicas_of_one_do(self) -> None:
        one, two = (
            resolve({"watch_namespaces": ("a,b",)}),
            resolve({"watch_namespaces": ("b", "a")}),
        )
        assert one.lease_name() == two.lease_name()
        blue = (
            resolve({"instance": ("blue",)}),
            resolve({"instance": ("blue",), "watch_namespaces": ("a",)}),
        )
        assert blue[0].lease_name() == blue[1].lease_name()

    def test_what_is_given_counts(self) -> None:
        assert resolve({"election_id": ("mine",), "instance": ("blue",)}).lease_name() == "mine"

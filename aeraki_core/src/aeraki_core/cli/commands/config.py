"""``aeraki config``: every setting, its value, and its origin.

docs/settings.md is ``aeraki config -o markdown``.
"""

from __future__ import annotations

from aeraki_core.cli.command import define, form_option
from aeraki_core.console import output
from aeraki_core.console.logs import COMPONENTS
from aeraki_core.settings import SETTINGS, Setting, SettingGroup, Settings

__all__ = ["command"]

_TITLES = {
    SettingGroup.ALL: ("Messages", "Every command."),
    SettingGroup.PLUGINS: ("Plugins", "Every command that loads plugins."),
    SettingGroup.MESH: (
        "Mesh and input",
        "`run`, `generate`, `diff`, `apply`, `validate`, `explain`, `status`.",
    ),
    SettingGroup.RUN: ("Controller", "`run`."),
    SettingGroup.CLUSTER: ("Cluster", "`run`, `apply` and `diff`, where they use a cluster."),
}


@define("config", *SettingGroup, epilog="Example: aeraki config --config aeraki.yaml")
@form_option("text", "json", "yaml", "markdown", text="The form.")
def command(settings: Settings, *, form: str) -> int:
    """Show every setting, its value and its origin.

    Takes every flag of `run`, to try what it would do. Flags go before the environment, the
    environment before the file that --config names, the file before the default.
    """
    texts = {item.name: item.text(getattr(settings, item.name)) for item in SETTINGS}
    match form:
        case "json" | "yaml":
            content = {
                item.key: {
                    "value": texts[item.name],
                    "origin": str(settings.origin(item.name).kind),
                    "name": settings.origin(item.name).name,
                }
                for item in SETTINGS
            }
            output.structured(content, form)
        case "markdown":
            output.data(_markdown())
        case _:
            rows = [
                (item.key, texts[item.name], str(settings.origin(item.name))) for item in SETTINGS
            ]
            output.data(
                output.table(
                    ("SETTING", "VALUE", "ORIGIN"), rows, colors={"default": "bright_black"}
                )
            )
    return 0


def _markdown() -> str:
    lines = [
        "# Settings",
        "",
        "A setting is a flag, an environment variable, and a key of the settings file that",
        "`--config FILE` (or `AERAKI_CONFIG`) names. The flag goes before the environment, the",
        "environment before the file, the file before the default. `aeraki config` shows each",
        "value and its origin. An empty variable counts as none. An unknown key or an invalid",
        "value is an error that names file and line; the exit code is then 2.",
        "",
        "`aeraki config -o markdown > docs/settings.md` writes this page; a test compares them.",
    ]
    for group, (title, where) in _TITLES.items():
        lines += [
            "",
            f"## {title}",
            "",
            where,
            "",
            "| key | flag | variable | default | meaning |",
            "|---|---|---|---|---|",
        ]
        lines += [_row(item) for item in SETTINGS if item.group is group]
    lines += ["", "## Components of the log", "", "| component | logs |", "|---|---|"]
    lines += [f"| `{name}` | {what} |" for name, what in COMPONENTS.items()]
    lines += ["| a plugin's name | what the plugin logs |"]
    return "\n".join([*lines, *_FORMS]) + "\n"


def _row(setting: Setting) -> str:
    flags = ", ".join(f"`{flag}`" for flag in setting.flags)
    variables = ", ".join(f"`{name}`" for name in (setting.env, *setting.old_env))
    value = setting.form.show(setting.default)
    default = setting.default_text or (f"`{value}`" if value else "")
    words = setting.form.words
    choices = f" One of {', '.join(words)}." if words and not setting.form.repeatable else ""
    row = f"| `{setting.key}` | {flags} | {variables} | {default} | {setting.help}{choices} |"
    return row.replace("|,", "\\|,")


_FORMS = """
## How values are written

- A list is separated by commas in a flag or a variable; its flag may be given several times. In
  the file it is a YAML list. Several paths in `AERAKI_PATHS` are separated by `:`, as in `PATH`.
- A time is `500ms`, `1.5s`, `1m`. A size is `500kB`, `10MiB`.
- `logLevel` in the file may be a mapping, such as `{all: info, pipeline: debug}`; `all` is
  everything.
- `proxyExtensions` lists the proxies with an Envoy extension that the stock istio-proxy lacks. As
  text it is `EXTENSION` for the whole mesh, `NAMESPACE:EXTENSION` for a namespace,
  `NAMESPACE/KEY=VALUE,...:EXTENSION` for its workloads with these labels; several in one variable
  are separated by blanks. In the file an entry may also be a mapping. Filters in the root namespace
  reach the whole mesh. So a rule for that namespace brings clients a filter only of services that
  are exported to it alone.
- Paths are relative to the working directory.

```yaml
rootNamespace: istio-system
filterNamespaces: ["."]
proxyExtensions:
  - envoy.filters.network.generic_proxy
  - extensions: [envoy.filters.network.example]
    namespace: orders
    labels: {app: broker}
debounceQuiet: 200ms
logLevel: {all: info, pipeline: debug}
```""".splitlines()

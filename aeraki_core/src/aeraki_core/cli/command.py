"""Shared by all commands: flags from the table of settings, and one place for errors.

A command is a function that receives :class:`Settings` (and its own parameters) and returns an exit
code. Errors become messages and exit codes here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from aeraki_core.cli import completing
from aeraki_core.console import output
from aeraki_core.errors import AerakiError, SettingsError
from aeraki_core.plugins.watchdog import watching
from aeraki_core.settings import (
    SETTINGS,
    Setting,
    SettingGroup,
    Settings,
    misspelt_variables,
    resolve,
)
from aeraki_core.wiring.signals import interrupted_by_user

__all__ = [
    "FILES",
    "PIPELINE",
    "USAGE",
    "Command",
    "CommandOption",
    "define",
    "form_option",
    "require_paths",
    "use_cluster_option",
]

F = TypeVar("F", bound=Callable[..., Any])

PIPELINE = (SettingGroup.MESH, SettingGroup.PLUGINS)

USAGE = 2
_BROKEN_PIPE = 141  # as a shell reports SIGPIPE
_INTERRUPTED = 130

_SECTIONS = {
    SettingGroup.RUN: "Controller",
    SettingGroup.CLUSTER: "Cluster",
    SettingGroup.MESH: "Mesh",
    SettingGroup.PLUGINS: "Plugins",
    SettingGroup.ALL: "Messages",
}
FILES = ("paths", "default_namespace", "max_file_size", "exclude")
_COMMON = frozenset(
    {
        "paths",
        "default_namespace",
        "exclude",
        "source",
        "sink",
        "to",
        "http_address",
        "leader_elect",
        "kubeconfig",
        "context",
        "root_namespace",
        "proxy_extensions",
        "watch_namespaces",
        "ignore",
        "plugins",
        "log_level",
        "config",
    }
)
"""Names of shared flags that ``--help`` shows; ``--help-all`` shows the others, too."""
_SHOWS_ALL = "aeraki_core.help-all"


class CommandOption(click.Option):
    """A flag under a heading of the help. ``setting`` is what it sets, if it is in the table."""

    def __init__(
        self, *args: Any, section: str = "Options", setting: Setting | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.section = section
        self.setting = setting

    @property
    def is_common(self) -> bool:
        """Whether the short help shows it."""
        return self.section == "Options" or self.name in _COMMON


class Command(click.Command):
    """A command whose help lists its flags under headings."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click's; arguments that are left are paths, for a command that reads them."""
        ctx.allow_extra_args = True
        rest = super().parse_args(ctx, args)
        if rest and not ctx.resilient_parsing:
            if "paths" not in ctx.params:
                raise click.UsageError(f"unexpected {' '.join(rest)}", ctx)
            ctx.params["paths"] = (*ctx.params["paths"], *rest)
        return []

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the flags by heading, the command's own first, rare ones with --help-all."""
        shows_all = ctx.meta.get(_SHOWS_ALL, False)
        sections: dict[str, list[tuple[str, str]]] = {}
        hidden = 0
        for parameter in self.get_params(ctx):
            if isinstance(parameter, CommandOption) and not (shows_all or parameter.is_common):
                hidden += 1
                continue
            # Arguments are in the line of usage, and the text above says what they are.
            record = (
                None if isinstance(parameter, click.Argument) else parameter.get_help_record(ctx)
            )
            setting = getattr(parameter, "setting", None)
            if record is not None and setting is not None and not shows_all:
                record = (record[0], setting.help)  # without default and variable
            if record is not None:
                sections.setdefault(getattr(parameter, "section", "Options"), []).append(record)
        order = ["Options", "Input", *_SECTIONS.values()]
        for title in sorted(sections, key=order.index):
            with formatter.section(title):
                formatter.write_dl(sections[title])
        if hidden:
            formatter.write_paragraph()
            formatter.write_text(
                f"{ctx.command_path} --help-all shows {hidden} more options, and defaults."
            )


def define(
    name: str,
    *scopes: SettingGroup,
    more: Collection[str] = (),
    error_exit: int = 1,
    epilog: str | None = None,
    traces: bool = False,
) -> Callable[[Callable[..., int]], Command]:
    """Make a command of a function ``(settings, **parameters) -> exit code``.

    It has the flags of these scopes. ``more``: keys of settings of other scopes that it has flags
    for, too. ``error_exit`` is the exit code after an error other than a usage error. ``traces``:
    it calls hooks, and has ``--trace``.
    """

    def decorate(function: Callable[..., int]) -> Command:
        parameters: list[click.Parameter] = list(
            reversed(getattr(function, "__click_params__", []))
        )
        settings = [
            item
            for item in SETTINGS
            if item.group in (*scopes, SettingGroup.ALL) or item.name in more
        ]
        parameters += [_option(item) for item in settings]
        loads_plugins = SettingGroup.PLUGINS in scopes
        if loads_plugins:
            parameters.append(_plugin_option())
        if traces:
            parameters.append(_trace_option())
        parameters += _common()

        def callback(**values: Any) -> None:
            flags = {item.name: _texts(item, values.pop(item.name)) for item in settings}
            debug = values.pop("debug")
            output.configure(no_color=values.pop("no_color"), debug=debug)
            config = values.pop("config")
            files: tuple[Path, ...] = values.pop("plugin_files") if loads_plugins else ()

            trace: tuple[str, ...] = values.pop("trace") if traces else ()

            def run(settings: Settings, **own: Any) -> int:
                as_json = own.get("form") == "json"
                settings = replace(settings, plugin_files=files, trace=trace, trace_as_json=as_json)
                return function(settings, **own)

            sys.exit(_guarded(run, flags, config, values, error_exit))

        return Command(
            name,
            params=parameters,
            callback=callback,
            help=function.__doc__,
            epilog=epilog,
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        )

    return decorate


def _guarded(
    function: Callable[..., int],
    flags: dict[str, tuple[str, ...]],
    config: Path | None,
    values: dict[str, Any],
    error_exit: int,
) -> int:
    """Run the function; whatever goes wrong becomes one message and an exit code."""
    try:
        for name, near in misspelt_variables(os.environ):
            output.warning(f"{name} is no setting and has no effect; did you mean {near}?")
        with output.reserved(), interrupted_by_user(), watching():
            code = function(resolve(flags, os.environ, config, Path.cwd()), **values)
    except (click.ClickException, click.exceptions.Exit):
        raise
    except BrokenPipeError:
        # The reader has gone: no message can reach it.
        _forget_stdout()
        return _BROKEN_PIPE
    except KeyboardInterrupt:
        return _INTERRUPTED
    except SettingsError as error:
        output.error(str(error))
        return USAGE
    except AerakiError as error:
        output.error(str(error))
        output.traceback()
        return error_exit
    except OSError as error:
        if error.filename == output.STDOUT:
            _forget_stdout()
        output.error(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        output.traceback()
        return error_exit
    except Exception as error:  # noqa: BLE001 a defect of ours: one line, and how to get the rest
        output.error(f"internal error: {type(error).__name__}: {error}")
        output.note(
            "  This is a defect of Aeraki. "
            "Run the command again with --debug and report what it prints."
        )
        output.traceback()
        return error_exit
    return code


def _forget_stdout() -> None:
    """Drop the rest of stdout's buffer, so that Python does not write it again at exit."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _option(setting: Setting) -> CommandOption:
    default = setting.default_text or ("" if setting.is_switch else setting.text(setting.default))
    facts = "; ".join(
        part for part in (f"default: {default}" if default else "", setting.env) if part
    )
    negatable = setting.is_switch and not setting.name.startswith("no_")
    return CommandOption(
        [
            *([setting.short] if setting.short else []),
            f"{setting.long}/--no-{setting.long[2:]}" if negatable else setting.long,
            setting.name,
        ],
        section="Input" if setting.name in FILES else _SECTIONS[setting.group],
        setting=setting,
        help=f"{setting.help}  [{facts}]",
        metavar=setting.metavar or None,
        is_flag=setting.is_switch,
        multiple=setting.form.repeatable,
        default=None,
        shell_complete=_completion(setting),
    )


def _completion(setting: Setting) -> completing.Complete:
    if setting.metavar in ("PATH", "DIR", "FILE"):
        return completing.files()
    if setting.name == "plugins":
        return completing.words(completing.plugin_names)
    return completing.words(lambda: setting.form.words)


def _texts(setting: Setting, value: Any) -> tuple[str, ...]:
    """Return the texts of a flag as click gives them; empty when it was not given."""
    if value is None or value == ():
        return ()
    if setting.is_switch:
        return ("true" if value else "false",)
    return tuple(value) if setting.form.repeatable else (value,)


def _plugin_option() -> CommandOption:
    return CommandOption(
        ["--plugin", "plugin_files"],
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        multiple=True,
        section=_SECTIONS[SettingGroup.PLUGINS],
        help="Use a plugin that is one Python file and not installed; may be given several times.",
    )


def _trace_option() -> CommandOption:
    return CommandOption(
        ["--trace"],
        metavar="PLUGIN",
        multiple=True,
        section=_SECTIONS[SettingGroup.PLUGINS],
        help="Print each call of the plugin's hooks on stderr: what it asked and got, its patches,"
        " findings and time; with -o json a line of JSON each. May be given several times.",
        shell_complete=completing.words(completing.plugin_names),
    )


def _show_all(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        ctx.meta[_SHOWS_ALL] = True
        click.echo(ctx.get_help(), color=ctx.color)
        ctx.exit()


def _common() -> list[click.Parameter]:
    section = _SECTIONS[SettingGroup.ALL]
    return [
        CommandOption(
            ["--help-all"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_all,
            help="Show all options and exit.",
        ),
        CommandOption(
            ["--config"],
            type=click.Path(path_type=Path),
            metavar="FILE",
            section=section,
            help="A settings file.  [AERAKI_CONFIG]",
        ),
        CommandOption(
            ["--no-color"],
            is_flag=True,
            section=section,
            help="No colours; NO_COLOR and FORCE_COLOR are honoured too.",
        ),
        CommandOption(
            ["--debug"], is_flag=True, section=section, help="Show the traceback of an error."
        ),
    ]


def require_paths(settings: Settings, example: str) -> tuple[str, ...]:
    """Return the paths to read.

    Raises:
        click.UsageError: none was given, or one does not exist; it shows the example.
    """
    if not settings.paths:
        raise click.UsageError(f"nothing to read; name files or directories:\n\n  {example}")
    for path in settings.paths:
        if path != "-" and not Path(path).exists():
            raise click.UsageError(f"{path}: no such file or directory")
    return settings.paths


def use_cluster_option(function: F) -> F:
    """Return the flag ``--use-cluster``."""
    option = click.option(
        "--use-cluster",
        is_flag=True,
        help="Take cluster IPs that the manifests do not have from the cluster.",
    )
    return option(function)


def form_option(*forms: str, text: str = "Output format.") -> Callable[[F], F]:
    """Make the flag ``-o``; the first form is the default, ``text`` is its help."""

    def decorate(function: F) -> F:
        option = click.option(
            "-o", "--output", "form", type=click.Choice(forms), default=forms[0], help=text
        )
        return option(function)

    return decorate

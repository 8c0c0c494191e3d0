"""The command line: one module a verb. Nothing here imports torch."""

from __future__ import annotations

import os
import sys

import typer

from actbench import __version__
from actbench.cli import check, compare, listing, maps, publish, run, scaffold, show, submit, verify
from actbench.cli.plugins import PluginSwitch
from actbench.errors import UserError

_UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""What the command line's parser raises, wherever this version of typer keeps it."""

app = typer.Typer(
    name="actbench",
    help="Compare activation-compression methods under the same ceilings, and publish what was measured.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"actbench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
    plugin: PluginSwitch = None,
    debug: bool = typer.Option(False, "--debug", help="Show where an error comes from."),
) -> None:
    pass


app.command("run")(run.run)
app.command("publish")(publish.publish)
app.command("compare")(compare.compare)
app.command("verify")(verify.verify)
app.command("new-method")(scaffold.new_method)
app.command("new-workload")(scaffold.new_workload)
app.command("check")(check.check)
app.command("submit")(submit.submit)
app.command("maps")(maps.maps)
app.command("show")(show.show)
app.command("methods")(listing.methods)
app.command("workloads")(listing.workloads)
app.command("plugins")(listing.plugins)


def main() -> None:
    """Runs the command line; errors that a user can mend are one line and exit code 2."""
    try:
        sys.exit(app(standalone_mode=False))
    except _UsageError as error:
        if said := _one_line(error):  # nothing where the help was asked for by no argument at all
            print(f"actbench: {said}", file=sys.stderr)
        sys.exit(2)
    except UserError as error:
        if "--debug" in sys.argv:
            raise
        print(f"actbench: {error}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        print("actbench: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output is gone (`| head`): nothing is left to say, and nothing more may be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _one_line(error: Exception) -> str:
    """What is wrong with a command line, and where to look."""
    context = getattr(error, "ctx", None)
    where = f"; see `{context.command_path} --help`" if context is not None else ""
    message = error.format_message().replace("Value error, ", "")  # type: ignore[attr-defined]
    return " ".join(message.split()).removesuffix(".") + where if message else ""

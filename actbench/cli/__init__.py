"""The command line: one module a verb. Nothing here imports torch."""

from __future__ import annotations

import os
import sys

import typer

from actbench import __version__
from actbench.cli import (
    check,
    compare,
    doctor,
    export,
    figure,
    fit,
    layer,
    listing,
    maps,
    publish,
    run,
    scaffold,
    show,
    submit,
    verify,
)
from actbench.cli.command import Command
from actbench.cli.plugins import PluginSwitch
from actbench.errors import UserError
from actbench.text import visible

_UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""What the command line's parser raises, wherever this version of typer keeps it."""

_INTERRUPTED = 130

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


app.command("run", cls=Command)(run.run)
app.command("fit", cls=Command)(fit.fit)
app.command("export", cls=Command)(export.export)
app.command("publish", cls=Command)(publish.publish)
app.command("figure", cls=Command)(figure.figure)
app.command("compare", cls=Command)(compare.compare)
app.command("verify", cls=Command)(verify.verify)
app.command("new-method", cls=Command)(scaffold.new_method)
app.command("new-workload", cls=Command)(scaffold.new_workload)
app.command("check", cls=Command)(check.check)
app.command("submit", cls=Command)(submit.submit)
app.command("maps", cls=Command)(maps.maps)
app.command("doctor", cls=Command)(doctor.doctor)
app.command("layer", cls=Command)(layer.layer)
app.command("show", cls=Command)(show.show)
app.command("methods", cls=Command)(listing.methods)
app.command("workloads", cls=Command)(listing.workloads)
app.command("plugins", cls=Command)(listing.plugins)


def main() -> None:
    """Runs the command line; errors that a user can mend are one line and exit code 2."""
    try:
        code = app(standalone_mode=False)
        if code == _INTERRUPTED:  # what some versions of typer make of Ctrl-C, without a word
            raise KeyboardInterrupt
        sys.exit(code)
    except _UsageError as error:
        if said := _one_line(error):  # nothing where the help was asked for by no argument at all
            _complain(said)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        _complain("interrupted")
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output is gone (`| head`): nothing is left to say, and nothing more may be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (UserError, OSError) as error:
        if "--debug" in sys.argv:
            raise
        _complain(_what_the_system_says(error) if isinstance(error, OSError) else str(error))
        sys.exit(2)


def _complain(line: str) -> None:
    print(f"actbench: {visible(line)}", file=sys.stderr)


def _what_the_system_says(error: OSError) -> str:
    """What is wrong with a file, and with which."""
    return f"{error.filename}: {error.strerror}" if error.filename is not None else str(error)


def _one_line(error: Exception) -> str:
    """What is wrong with a command line, and where to look."""
    context = getattr(error, "ctx", None)
    where = f"; see `{context.command_path} --help`" if context is not None else ""
    message = error.format_message().replace("Value error, ", "")  # type: ignore[attr-defined]
    return " ".join(message.split()).removesuffix(".") + where if message else ""

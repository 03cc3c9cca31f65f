"""Every error of ours becomes one clear message and its exit code; a bug becomes a short report."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

import click

from synthgen.core.errors import SynthgenError

DEBUG = "SYNTHGEN_DEBUG"


def guarded(run: Callable[[], Any]) -> int:
    """Run a click command and return the exit code: 0, the error's own, 2 for usage, 130 for Ctrl-C, 70 for a bug."""
    try:
        ended = run()
    except SynthgenError as error:
        return _tell(error.message, error.remedy, error.exit_code)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.exceptions.Abort):
        click.echo("interrupted", err=True)
        return 130
    except BrokenPipeError:
        # The reader of our output is gone; keep the interpreter from complaining when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        where = f"{type(error).__name__}: {error}"
        return _tell(f"synthgen has a bug: {where}", f"set {DEBUG}=1 to see where, and report it", 70)
    # Outside its standalone mode click does not raise what ctx.exit(2) was given, it returns it.
    return ended if isinstance(ended, int) else 0


def _tell(message: str, remedy: str, code: int) -> int:
    if os.environ.get(DEBUG):
        traceback.print_exc()
    click.echo(f"error: {message}", err=True)
    if remedy:
        click.echo(f"  remedy: {remedy}", err=True)
    return code

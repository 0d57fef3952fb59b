"""What an operator did wrong, told in lines instead of a traceback."""

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import click

from customhouse.adapters.privatefiles import UnsafeKeyFile
from customhouse.config.findings import ConfigurationInvalid
from customhouse.core.policy import PolicyInvalid
from customhouse.core.refusal import Refused

P = ParamSpec("P")
R = TypeVar("R")


def explained(command: Callable[P, R]) -> Callable[P, R]:
    """A command whose foreseeable failures are printed as lines on standard error, with exit code 1."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (ConfigurationInvalid, PolicyInvalid) as invalid:
            for finding in invalid.findings:
                click.echo(str(finding), err=True)
        except Refused as refused:
            click.echo(f"{refused.sentence} {refused.reason.row.next_step}".rstrip(), err=True)
            if refused.note:
                click.echo(f"  ({refused.note})", err=True)
        except (OSError, LookupError, ValueError, UnsafeKeyFile) as failed:
            click.echo(f"{failed}", err=True)
        sys.exit(1)

    return run

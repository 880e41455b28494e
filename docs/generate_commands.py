"""Writes the page of the commands: `docs/generate_commands.py > docs/commands.md`.

The parser knows arguments, defaults, meanings and exit codes; here is only what holds for all.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator

from mlgate.hosts.cli import parser

_INTRODUCTION = """\
# Commands

<!-- Made by docs/generate_commands.py from the parser in mlgate/hosts/commands; change that. -->

`make run` installs the command as `.venv/bin/mlgate`. It is configured through
[environment variables](operations.md#settings); on a laptop you need none.

Every command exits with 2 when its arguments are wrong, with 3 when a setting cannot be used or
what it needs does not answer, and with 130 after Ctrl-C, unless its own table says otherwise.
Results go to standard output; warnings, errors and what a worker logs go to standard error.
`mlgate COMMAND --help` prints what this page says of one, and `mlgate --version` the version.

| command | does |
|---|---|
"""


def page() -> str:
    """The page as Markdown."""
    commands = dict(_commands())
    rows = "".join(
        f"| [`{_call(name, made)}`](#mlgate-{name}) | {_cell(short)} |\n"
        for name, (short, made) in commands.items()
    )
    sections = [_section(name, short, made) for name, (short, made) in commands.items()]
    return _INTRODUCTION + rows + "".join(sections)


def _commands() -> Iterator[tuple[str, tuple[str, argparse.ArgumentParser]]]:
    """Name, short help and parser of each; argparse shows them nowhere but in its own fields."""
    [actions] = [
        action
        for action in parser()._actions  # noqa: SLF001 -- argparse lists them nowhere else
        if isinstance(action, argparse._SubParsersAction)  # noqa: SLF001 -- argparse has no public name for it
    ]
    for choice in actions._choices_actions:  # noqa: SLF001 -- argparse lists them nowhere else
        yield choice.dest, (choice.help or "", actions.choices[choice.dest])


def _section(name: str, short: str, made: argparse.ArgumentParser) -> str:
    says = " ".join((made.description or f"{short}.").split())
    rows = "".join(
        f"| `{_cell(_written(action))}` | {_cell(action.help or '')} |\n"
        for action in _arguments(made)
    )
    table = f"| argument | meaning |\n|---|---|\n{rows}\n" if rows else ""
    codes = "".join(f"| {code} | {_cell(meaning)} |\n" for code, meaning in exit_codes(made))
    ends = f"| exit code | means |\n|---|---|\n{codes}" if codes else ""
    return f"\n## `mlgate {name}`\n\n{says[0].upper()}{says[1:]}\n\n{table}{ends}".rstrip() + "\n"


def exit_codes(made: argparse.ArgumentParser) -> list[tuple[str, str]]:
    """Code and meaning of each that the parser's epilog lists."""
    _, _, rest = (made.epilog or "").partition("exit codes")
    listed = rest.partition("\n")[2].partition("\n\n")[0]
    pairs = (each.strip().partition(" ") for each in re.split(r"\n| {3}", listed) if each.strip())
    return [(code, meaning or "done") for code, _, meaning in pairs]


def _arguments(made: argparse.ArgumentParser) -> list[argparse.Action]:
    return [each for each in made._actions if each.dest != "help"]  # noqa: SLF001 -- argparse lists them nowhere else


def _call(name: str, made: argparse.ArgumentParser) -> str:
    """The command with what is not an option."""
    words = [f"mlgate {name}"]
    for action in _arguments(made):
        if not action.option_strings:
            written = _written(action)
            words.append(f"[{written}]" if action.nargs == "?" else written)
    return " ".join(words)


def _written(action: argparse.Action) -> str:
    """An argument as one types it."""
    value = str(action.metavar or "")
    if not action.option_strings:
        return value
    if not value and action.choices:
        value = "|".join(map(str, action.choices))
    if not value and action.nargs != 0:
        value = action.dest.upper()
    return f"{action.option_strings[0]} {value}".strip()


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(page())

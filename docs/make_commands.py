"""Writes the reference of every command and option into docs/commands.md, from the commands themselves.

python docs/make_commands.py           # put it into docs/commands.md
python docs/make_commands.py --print   # only print it
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import click

PAGE = Path(__file__).resolve().parent / "commands.md"
BEGIN = "<!-- commands: made by docs/make_commands.py -->"
END = "<!-- end of commands -->"


def commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    """(full name, command) of every command below a group; of groups only those that do something alone."""
    context = click.Context(group, info_name=name)
    for verb in group.list_commands(context):
        command = group.get_command(context, verb)
        assert command is not None, verb
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield f"{name} {verb}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {verb}")


def section(name: str, command: click.Command) -> str:
    """One command: heading, what it does in a sentence, and a table of its options."""
    context = click.Context(command, info_name=name)
    usage = " ".join(p.make_metavar(context) for p in command.params if isinstance(p, click.Argument))
    about = (command.help or "").split("\n\n")[0].replace("\n", " ").replace("\b", "").strip()
    lines = [f"### `{f'{name} {usage}'.strip()}`", "", about, "", "| option | meaning |", "|---|---|"]
    for option in command.params:
        record = option.get_help_record(context) if isinstance(option, click.Option) else None
        if record is not None:
            names, text = (" ".join(part.replace("|", "\\|").split()) for part in record)
            lines.append(f"| `{names}` | {text} |")
    return "\n".join(lines)


def render() -> str:
    """The whole reference, between its marks."""
    from rvqcodec.cli import main

    return "\n\n".join([BEGIN, *(section(name, command) for name, command in commands(main, "rvq")), END])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--print", action="store_true", dest="only_print")
    if parser.parse_args().only_print:
        print(render())
        return
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + render() + after)


if __name__ == "__main__":
    main()

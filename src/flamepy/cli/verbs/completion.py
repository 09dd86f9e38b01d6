"""``flamepy completion SHELL``: the script that makes a shell complete ``flamepy``'s words."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

VARIABLE = "_FLAMEPY_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    bash: eval "$(flamepy completion bash)"       in ~/.bashrc
    zsh:  eval "$(flamepy completion zsh)"        in ~/.zshrc
    fish: flamepy completion fish | source        in ~/.config/fish/config.fish
    """  # noqa: D301  # click wants the character, not a backslash and a b
    kind = get_completion_class(shell)
    assert kind is not None  # the choice above
    root = context.find_root().command
    click.echo(kind(root, {}, "flamepy", VARIABLE).source())

"""The commands, one module each; ``cli.commands`` has them by name."""

"""Informers that are installed packages: found by their entry points, imported, registered.

Belongs here: names, configuration and errors of plugins. Does not belong here: the commands
(``cli.verbs``). A loaded plugin is registered with a reactor as any informer.
"""

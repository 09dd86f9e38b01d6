"""When to read what: poll order and speed, completions, resyncs, limits. Pure."""

"""What survives a restart: which events were handled, in a file."""

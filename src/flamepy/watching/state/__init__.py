"""What is known of sessions and tasks, and the events that follow from a new observation. Pure."""

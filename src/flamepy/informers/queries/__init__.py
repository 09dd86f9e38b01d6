"""Query the state that a reactor knows: listers, waits for one event, the events of one task."""

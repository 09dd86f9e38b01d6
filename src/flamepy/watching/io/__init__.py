"""Read the engine: polls, watch streams, completions, and the observations made of them."""

"""Clocks, queues, threads, event loops and forks: what every room below the wire runs on."""

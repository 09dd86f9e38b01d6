"""From a link's inbox to a callback: queues, worker threads, calls, retries and their watchdog."""

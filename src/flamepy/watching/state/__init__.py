"""What is known of sessions and tasks, and the events that follow from an observation. Pure.

Belongs here: the store and its records, events, subscriptions, waiters. Does not belong here:
calls, clocks, asyncio. Observations come from ``io.observer``; events go to sinks of subscriptions.
"""

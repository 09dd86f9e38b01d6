"""Where messages go: one module for each service, and what they share.

Belongs here: a service's form of a message, its escaping, its limits, and what its answers mean.
Does not belong here: what a message says (``groups``, ``templates``) and when it leaves
(``planner``).
"""

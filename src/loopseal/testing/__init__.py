"""Simulators of every peer, as ASGI applications and in memory; time that jumps; pytest fixtures for users.

What may live here: make-believe Argo CD, Flux, Kubernetes and Git servers that speak their peer's protocol, and what
drives them (clocks, faults, transports). What may not: anything that production code would import. A simulator is held
to recordings of the real peer; where it knows less than the real one, its module says so.
"""

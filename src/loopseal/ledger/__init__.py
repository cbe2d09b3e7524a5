"""The append-only log of every change: one module per kind of store, class `Ledger` in each.

May live here: storing and reading events with compare-and-append. May not: what events mean (`loopseal.domain.change`),
how they look as JSON (`loopseal.wire`).
"""

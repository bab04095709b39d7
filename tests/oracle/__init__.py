"""The definition of a decision (docs/decisions/0001-record.md and 0002-decision.md) in plain, slow Python.

It takes what people author and what happened, never a compiled bundle or a packed record, and shares no
code with the core.
"""

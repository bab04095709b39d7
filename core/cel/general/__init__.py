"""The general evaluator: the whole of CEL but protocol-buffer messages, for expressions that no table holds.

`compiling.compile_expression` makes a `program.Program` of a syntax tree; `docs/expressions.md` says what is
refused.
"""

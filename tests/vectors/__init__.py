"""Behaviour vectors: what a decision must be, for people to read and for every face of the system to run.

A file holds named catalogues, vectors, and lists of expressions:

    {"format": 1, "description": TEXT,
     "catalogues": {NAME: CATALOGUE},            owners may be left out
     "vectors": [
       {"name", "description", "catalogue": NAME, "at_edge": true,
        "profile": {"sequence", "packed_at", "unit_key", "events": [...], "scores": {...}},   or absent
        "overlay": [...],
        "request": {"placements": [...], "context": {...}, "named": false, "unit_key": HEX},
        "now": TIME, "instead": "deadline" | "overload" | "error",      or absent: the node decides
        "expected": {"id", "now", "profile", "placements"},         the decision without its `bundle`
        "causes": {PLACEMENT: ID},               of the refusal or holdout that gave the reason
        "refused": {PLACEMENT: [[OFFER, REASON, CAUSE]]}}],
     "setting": {"attributes", "segments", "events", "scores", "context", "now"},      for all the expressions
     "expressions": [{"name", "description", "cases": [[EXPRESSION, true | false | "error"]]}]}

An event is `{"name", "at"}` and, where it matters, `kind`, `message_id`, `properties`, `traits`, `consent`,
`source` (the identifier hash of who it belongs to).
Each list of expressions becomes one vector: every expression is once an offer's eligibility and once a rule
that blocks one.

`load.load_vectors` reads the vectors; `build.build` makes of one what the core takes (bundle, record,
overlay, request), `build.expected_body` the bytes that every face must answer.
"""

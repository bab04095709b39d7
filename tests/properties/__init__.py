"""Core and oracle held together: the same bytes for random catalogues, people, requests and times.

`expressions` makes CEL, `histories` attributes and events, `worlds` whole catalogues and questions.
ONEVOICE_PROPERTY_EXAMPLES sets the number of examples of each test (a run by hand: 20000).
"""

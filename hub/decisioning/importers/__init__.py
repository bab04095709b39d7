"""Conditions of other systems said in CEL: GrowthBook, Unleash, JsonLogic.

A translated condition is true exactly when the original is. Where the original is false, it is false or CEL's
error, which eligibility takes for no match. So a negation is never written as `!` before a part that may be
an error: it is pushed down to the leaves, and each leaf can say when it does not hold.
"""

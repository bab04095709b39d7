"""The profile snapshot: records at a sequence of the hub's change log, read in place by workers, written by
the sync process.
"""

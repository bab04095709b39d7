"""The sync process: the only writer of the snapshot, and the only one that speaks with the hub."""

"""The command line of operators, and the client library under it."""

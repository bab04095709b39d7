"""Version 1 of the wire formats: generated at build time from the .proto files beside this one."""

"""The edges' streams: journals and logs up; signed frames, bundles and acknowledgements down."""

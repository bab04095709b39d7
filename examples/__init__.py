"""Things to run and to copy from: the example shop and converters of public data sets."""

"""One typed tree of settings, and the reading of every file an operator writes."""

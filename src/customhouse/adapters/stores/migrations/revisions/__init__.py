"""The revisions, in order. None imports the tables of today: what a revision did stays as it was."""

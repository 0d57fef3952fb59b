"""What changes in a session of a legacy client, and the events of its streams."""

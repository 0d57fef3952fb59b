"""What the planes ask of the world, as protocols that adapters implement."""

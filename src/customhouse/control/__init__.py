"""The control plane: what an operator does, a file per thing."""

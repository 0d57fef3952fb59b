"""Where the control plane keeps its books."""

"""What clients and model providers are told of an endpoint, in their own formats; one module per family of formats."""

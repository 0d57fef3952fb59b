"""How the control process hands what is served over to gateways."""

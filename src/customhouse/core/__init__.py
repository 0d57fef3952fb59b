"""The rules of the gateway: values in, values out. No await, clock, randomness, file, socket or log."""

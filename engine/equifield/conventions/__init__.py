"""What variables of a file say about themselves: their units, their axes, and what tensors they are.

Training data and the service read it here. Nothing here imports JAX: processes that must not can use it.
"""

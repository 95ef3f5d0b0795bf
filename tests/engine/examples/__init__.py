"""One example of every exported layer, for the laws that all layers obey; one module per family."""

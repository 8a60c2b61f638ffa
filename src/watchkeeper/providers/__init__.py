"""How a model is called: one value type, one file per wire, one retry policy."""

"""How an operation is checked, charged and executed. The modules know nothing of the types and transports."""

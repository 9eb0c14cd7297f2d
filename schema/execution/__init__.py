"""How an operation is checked, priced, run and rendered."""

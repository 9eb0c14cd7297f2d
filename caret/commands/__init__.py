"""One module per command, named after it: reads the arguments, and does little else."""

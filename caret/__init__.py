"""The process: settings, commands, the supervisor, and what implements the ports of the resolvers."""

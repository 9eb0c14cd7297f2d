"""The process: settings, commands, the supervisor, and what implements the ports of the resolvers."""

import os

# No plugin of pydantic is used, and to look for one it reads the metadata of every installed package at each start.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

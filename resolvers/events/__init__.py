"""The event log of each workspace: publishing to it, subscribing to it, and its retention."""

"""What all resolvers share: the request's context, errors, pagination, idempotency, locks, leases, rate limits."""

"""The Postgres and NATS that `caret serve` runs itself where no others are configured."""

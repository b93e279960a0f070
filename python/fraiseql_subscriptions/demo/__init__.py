"""A day of flights, replayed through the engine: ``python -m fraiseql_subscriptions demo``.

`data` makes events of the CSV file, `dashboards` says who subscribes to what, `replay`
publishes and receives, `expected` computes from the CSV file alone what each dashboard should
have received, `report` compares, `display` and `live` show it, `command` is the command line.
"""

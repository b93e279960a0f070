"""The day of flights as a page: ``python -m fraiseql_subscriptions demo --web``.

`day` publishes the flights, `schema` says what clients may ask, `application` serves both and
the files in `page/` (the board) and `vendor/` (GraphiQL and what it needs), `serve` is the
command. The board subscribes over WebSocket with a client of its own, `page/socket.js`.
"""

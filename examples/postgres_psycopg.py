"""Row changes of a table and events of a transaction, published by the database itself.

pip install fraiseql-subscriptions 'psycopg[binary]'
export DATABASE_URL=postgresql://user@host/database
python -m fraiseql_subscriptions postgres install
python postgres_psycopg.py
"""

import os
import select

import psycopg
from psycopg.types.json import Jsonb

from fraiseql_subscriptions import SubscriptionExecutor


def set_up(conn: psycopg.Connection) -> None:
    """A table whose changes are published: the trigger is the schema's."""
    with conn.transaction():
        conn.execute("DROP TABLE IF EXISTS parcels")
        conn.execute("CREATE TABLE parcels (id int PRIMARY KEY, place text)")
        conn.execute("SELECT fraiseql_subscriptions.watch('parcels', 'parcels')")


def main() -> None:
    url = os.environ["DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as conn, SubscriptionExecutor(url) as executor:
        set_up(conn)
        query = "subscription { parcel { id place } }"
        executor.register_subscription("ann", "1", query, channels="parcels")
        with conn.transaction():
            conn.execute("INSERT INTO parcels VALUES (1, 'Lyon'), (2, 'Nice')")
            conn.execute("UPDATE parcels SET place = 'Paris' WHERE id = 1")
        with conn.transaction():
            conn.execute("DELETE FROM parcels")
            raise psycopg.Rollback  # nobody hears of it
        with conn.transaction():
            conn.execute(
                "SELECT fraiseql_subscriptions.publish(%s, %s, %s)",
                ["parcels", "parcelLost", Jsonb({"id": 2, "place": None})],
            )
        messages = 0
        while messages < 4:
            select.select([executor.fileno()], [], [], 10)
            for _, message in executor.drain():
                print(message.decode())
                messages += 1


if __name__ == "__main__":
    main()

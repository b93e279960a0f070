"""Orders that subscribers see when the transaction that places them commits, and only then.

pip install fraiseql-subscriptions asyncpg
export DATABASE_URL=postgresql://user@host/database
python -m fraiseql_subscriptions postgres install
python postgres_asyncpg.py
"""

import asyncio
import json
import os

import asyncpg

from fraiseql_subscriptions import SubscriptionExecutor


async def place_order(conn: asyncpg.Connection, region: str, total: int) -> int:
    """A mutation: what it changes and what it tells are one transaction."""
    async with conn.transaction():
        number: int = await conn.fetchval(
            "INSERT INTO orders (region, total) VALUES ($1, $2) RETURNING id", region, total
        )
        await conn.execute(
            "SELECT fraiseql_subscriptions.publish($1, 'orderPlaced', $2)",
            f"orders.{region}",
            json.dumps({"id": number, "region": region, "total": total}),
        )
        if total > 1000:
            raise ValueError(f"order {number} is too large")
    return number


async def main() -> None:
    url = os.environ["DATABASE_URL"]
    conn = await asyncpg.connect(url)
    await conn.execute("DROP TABLE IF EXISTS orders")
    await conn.execute("CREATE TABLE orders (id serial PRIMARY KEY, region text, total int)")
    async with SubscriptionExecutor(url) as executor:
        query = "subscription { orderPlaced { id total } }"
        async with executor.subscribe(query, channels="orders.*") as stream:
            await place_order(conn, "eu", 10)
            try:
                await place_order(conn, "eu", 9999)
            except ValueError as error:
                print(error)
            await place_order(conn, "us", 20)
            for _ in range(2):
                print((await anext(stream)).decode())
    await conn.close()


if __name__ == "__main__":
    asyncio.run(main())

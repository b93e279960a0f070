-- Orders of several tenants: a table, the view that FraiseQL reads, a function that writes.

CREATE TABLE tb_order (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id text NOT NULL,
    region text NOT NULL,
    order_status text NOT NULL DEFAULT 'placed',
    total_cents integer NOT NULL CHECK (total_cents > 0)
);

CREATE VIEW v_order AS
SELECT id, tenant_id, region, to_jsonb(tb_order) AS data FROM tb_order;

CREATE FUNCTION place_order(tenant_id text, region text, total_cents integer) RETURNS jsonb
LANGUAGE sql AS $$
    INSERT INTO tb_order (tenant_id, region, total_cents)
    VALUES (place_order.tenant_id, place_order.region, place_order.total_cents)
    RETURNING to_jsonb(tb_order)
$$;

CREATE SCHEMA shop;
CREATE TYPE shop.status AS ENUM ('new', 'paid', 'sent');
CREATE TABLE shop.customers (
  id    serial PRIMARY KEY,
  name  text NOT NULL,
  notes jsonb
);
CREATE TABLE shop.orders (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  customer_id int NOT NULL,
  status      shop.status NOT NULL DEFAULT 'new',
  total       numeric(10,2) NOT NULL,
  placed_at   timestamptz NOT NULL DEFAULT now()
);
INSERT INTO shop.customers (name, notes)
  SELECT 'Customer ' || g, jsonb_build_object('vip', g % 10 = 0) FROM generate_series(1, 1000) g;
INSERT INTO shop.orders (customer_id, total)
  SELECT 1 + g % 1000, g * 1.25 FROM generate_series(1, 10000) g;

-- The table that is captured. The id is the record key.
CREATE TABLE persons (
  id         serial PRIMARY KEY,
  name       text NOT NULL,
  email      text,
  created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO persons (name, email) VALUES ('Ada', 'ada@example.com'), ('Grace', 'grace@example.com');

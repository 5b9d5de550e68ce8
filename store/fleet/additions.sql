-- Tables that an older version does without. They are not migrations: a node refuses a schema that it does not know, and
-- nodes of two versions share one database.

-- An erasure waits here until each node in waits has erased what it has: a member's id, "name " and a node's name, or "at "
-- and its address. It has the ids of calls, or a number as a hash. The key of the hash and of proof is not in the database:
-- it is made of the secret of the nodes' seats, or for nodes without that of the database's password by scrypt.
CREATE TABLE IF NOT EXISTS flowbridge_erasures (
    id     uuid PRIMARY KEY,
    calls  text[],
    salt   bytea NOT NULL,
    proof  bytea NOT NULL,
    number bytea,
    waits  text[] NOT NULL,
    at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS flowbridge_erasures_at ON flowbridge_erasures (at);

-- Every node that was there, also one that is stopped now. Nobody waits for a node for longer than 90 days.
CREATE TABLE IF NOT EXISTS flowbridge_members (
    id      text COLLATE "C" PRIMARY KEY,
    name    text NOT NULL,
    seen_at timestamptz NOT NULL
);
-- key tells the secret of the node's seat from others; '' if it has none.
ALTER TABLE flowbridge_members ADD COLUMN IF NOT EXISTS key text NOT NULL DEFAULT '';

-- The calls under a legal hold at their node, whose records stay here, too.
CREATE TABLE IF NOT EXISTS flowbridge_holds (id text COLLATE "C" PRIMARY KEY);

-- The certificate of each list of domains, with its key, sealed with the nodes' secret; empty while there is none. Until
-- orders_until a node orders it.
CREATE TABLE IF NOT EXISTS flowbridge_certificates (
    domains text COLLATE "C" PRIMARY KEY,
    sealed bytea NOT NULL DEFAULT '',
    orders_until timestamptz NOT NULL DEFAULT 'epoch'
);

-- The weights in force of the splits of routes, and why, as JSON in one row.
CREATE TABLE IF NOT EXISTS flowbridge_weights (
    id     boolean PRIMARY KEY DEFAULT true CHECK (id),
    states text NOT NULL
);

-- The salt with which nodes make a key of this database's password.
CREATE TABLE IF NOT EXISTS flowbridge_salt (
    id   boolean PRIMARY KEY DEFAULT true CHECK (id),
    salt bytea NOT NULL DEFAULT uuid_send(gen_random_uuid())
);

-- +goose Up
-- An erasure waits here until each node in waits has erased what it has. It has the ids of calls, or a number as a hash:
-- its key is made of salt and of the password of this database, which is not in it. proof shows who has the same one.
CREATE TABLE flowbridge_erasures (
    id     uuid PRIMARY KEY,
    calls  text[],
    salt   bytea NOT NULL,
    proof  bytea NOT NULL,
    number bytea,
    waits  text[] NOT NULL,
    at     timestamptz NOT NULL DEFAULT now()
);

-- Every node that was there, also one that is stopped now. Nobody waits for a node for longer than 90 days.
CREATE TABLE flowbridge_members (
    id      text COLLATE "C" PRIMARY KEY,
    name    text NOT NULL,
    seen_at timestamptz NOT NULL
);

-- The calls under a legal hold at their node, whose records stay here, too.
CREATE TABLE flowbridge_holds (id text COLLATE "C" PRIMARY KEY);

-- +goose Down
DROP TABLE flowbridge_holds;
DROP TABLE flowbridge_members;
DROP TABLE flowbridge_erasures;

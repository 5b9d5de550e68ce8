-- +goose Up
-- A node's part of a cap follows from the nodes that are there, so nothing is kept of it. Who is there, seen_at says.
DROP TABLE flowbridge_leases;
ALTER TABLE flowbridge_nodes DROP COLUMN expires_at;

-- +goose Down
ALTER TABLE flowbridge_nodes ADD COLUMN expires_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE flowbridge_nodes ALTER COLUMN expires_at DROP DEFAULT;
CREATE TABLE flowbridge_leases (
    callee     boolean NOT NULL,
    name       text NOT NULL,
    rate       boolean NOT NULL,
    node       text COLLATE "C" NOT NULL REFERENCES flowbridge_nodes (id) ON DELETE CASCADE,
    permits    integer NOT NULL,
    wanted     integer NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (callee, name, rate, node)
);

-- +goose Up
-- The certificate of each list of domains, with its key, sealed with the nodes' secret; empty while there is none. Until
-- orders_until a node orders it.
CREATE TABLE flowbridge_certificates (
    domains text COLLATE "C" PRIMARY KEY,
    sealed bytea NOT NULL DEFAULT '',
    orders_until timestamptz NOT NULL DEFAULT 'epoch'
);

-- +goose Down
DROP TABLE flowbridge_certificates;

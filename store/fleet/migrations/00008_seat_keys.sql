-- +goose Up
-- seat_key tells the secret of the node's seat from others: two nodes with one seat must have the same. '' without a
-- seat, and if an older version wrote the row.
ALTER TABLE flowbridge_nodes ADD COLUMN seat_key text NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE flowbridge_nodes DROP COLUMN seat_key;

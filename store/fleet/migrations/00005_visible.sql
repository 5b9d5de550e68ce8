-- +goose Up
-- api is where the other nodes reach the admin API of this one, like http://203.0.113.5:8080; '' if they don't. numbers
-- is the beginning of the SHA-256 of its table of numbers; 'none' without one, '' if an older version wrote the row.
ALTER TABLE flowbridge_nodes ADD COLUMN api text NOT NULL DEFAULT '', ADD COLUMN numbers text NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE flowbridge_nodes DROP COLUMN api, DROP COLUMN numbers;

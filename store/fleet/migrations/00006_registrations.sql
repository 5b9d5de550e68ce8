-- +goose Up
-- Who is registered where: one row for each trunk or target and each place, which is a seat, or "node " and the id of a
-- node without one. bindings has also what was removed there lately. A row that is older than any registration is deleted.
CREATE TABLE flowbridge_registrations (
    holder     text COLLATE "C" NOT NULL,
    place      text COLLATE "C" NOT NULL,
    node       text NOT NULL,
    bindings   bytea NOT NULL,
    written_at timestamptz NOT NULL,
    PRIMARY KEY (holder, place)
);

CREATE INDEX flowbridge_registrations_written ON flowbridge_registrations (written_at);

-- +goose Down
DROP TABLE flowbridge_registrations;
